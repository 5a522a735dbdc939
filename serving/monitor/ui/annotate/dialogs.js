// Questions to a person, each a promise.

const $ = (id) => document.getElementById(id);

/**
 * Ask; resolves to the text that was typed (true where none was asked for), "other" after the other way out, or null
 * after Back or Escape.
 * @param label of the text to type; without it there is none. @param least characters of it
 * @param other a second thing that one can do, for a question without a text to type
 */
export function ask({ title, text = "", label = "", value = "", least = 1, yes = "OK", other = "" }) {
  const dialog = $("ask"), input = $("ask-input"), before = document.activeElement;
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-label").textContent = label;
  $("ask-field").hidden = !label;
  $("ask-yes").textContent = yes;
  $("ask-other").textContent = other;
  $("ask-other").hidden = !other;
  input.value = value;
  input.required = !!label && least > 0;
  dialog.returnValue = "no";
  dialog.showModal();
  (label ? input : $("ask-yes")).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      before?.focus?.();
      if (dialog.returnValue === "other") return resolve("other");
      const said = label ? input.value.trim() : true;
      resolve(dialog.returnValue === "yes" && (said || !least) ? said : null);
    }, { once: true });
  });
}

/** Show the table of keys. @param rows [key, what] */
export function keys(rows) {
  const cells = ([key, what]) => {
    const row = document.createElement("tr");
    const [first, second] = [document.createElement("th"), document.createElement("td")];
    first.scope = "row";
    first.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    second.textContent = what;
    row.append(first, second);
    return row;
  };
  $("keys").querySelector("tbody").replaceChildren(...rows.map(cells));
  $("keys").showModal();
}

/** Show what failed, and a button that tries it again where there is such a thing. */
export function trouble(error, again = null, label = "Try again") {
  $("trouble-text").textContent = error.text ?? `${error.message}.`;
  $("again").hidden = !again;
  $("again").textContent = label;
  $("again").onclick = () => {
    calm();
    again();
  };
  $("trouble").hidden = false;
}

export function calm() {
  $("trouble").hidden = true;
}
