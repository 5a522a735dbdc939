// The controls beside the picture: structures, sliders, tools, numbers. Each shows a state and changes it.

import { recall, remember } from "./remember.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const SLIDERS = ["brightness", "contrast", "opacity", "radius"];

/** A radio button for each structure, with its line as the picture shows it. */
export function structures(layers, names, chosen, pick) {
  const tabs = names.map((name, i) => {
    const tab = document.createElement("label"), input = document.createElement("input");
    tab.className = "tab";
    Object.assign(input, { type: "radio", name: "structure", value: name, checked: name === chosen });
    input.addEventListener("change", () => pick(name));
    tab.append(input, sample(layers[i]), `${name} `, Object.assign(document.createElement("kbd"), { textContent: i + 1 }));
    return tab;
  });
  $("structures").replaceChildren($("structures").querySelector("legend"), ...tabs);
}

function sample({ colour, dash }) {
  const svg = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "line");
  svg.setAttribute("viewBox", "0 0 30 8");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, value] of Object.entries({ x1: 0, x2: 30, y1: 4, y2: 4, stroke: colour, "stroke-dasharray": dash.join(" ") })) {
    line.setAttribute(name, value);
  }
  svg.append(line);
  return svg;
}

export function pick(name) {
  for (const input of $("structures").querySelectorAll("input")) input.checked = input.value === name;
}

/** Sliders and switches of how it looks, as this browser remembers them. @param changed () after each change */
export function looks(view, tools, changed) {
  const plain = { ...view.look, radius: tools.radius };
  const set = (name, value) => {
    (name === "radius" ? tools : view.look)[name] = value;
    remember(name, value);
  };
  for (const name of SLIDERS) {
    const kept = Number(recall(name, plain[name]));
    if (kept >= Number($(name).min) && kept <= Number($(name).max)) (name === "radius" ? tools : view.look)[name] = kept;
    $(name).addEventListener("input", () => {
      set(name, Number($(name).value));
      changed();
    });
  }
  $("plain").addEventListener("click", () => {
    for (const name of SLIDERS) set(name, plain[name]);
    Object.assign(view.look, { filled: true, hidden: false });
    changed();
  });
}

/** Move a slider by so many of its steps. */
export function nudge(name, steps) {
  const slider = $(name);
  slider.value = Number(slider.value) + steps * Number(slider.step);
  slider.dispatchEvent(new Event("input"));
}

export function showLooks(view, tools) {
  const values = { ...view.look, radius: tools.radius };
  for (const name of SLIDERS) {
    $(name).value = values[name];
    document.querySelector(`output[for=${name}]`).textContent = values[name].toFixed(name === "radius" ? 1 : 2);
  }
  $("filled").setAttribute("aria-pressed", view.look.filled);
  $("hidden").setAttribute("aria-pressed", view.look.hidden);
}

/** Which tool is in hand; of a case drawn by hand the model's are not there. */
export function showTools(tools, byHand) {
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tools.tool);
    button.hidden = byHand && button.dataset.tool === "click";
  }
  $("background").setAttribute("aria-pressed", tools.background);
  $("close-shape").hidden = tools.tool !== "polygon";
  for (const id of ["proposal", "first"]) $(id).hidden = byHand;
}

/** Areas, clicks, and whether a model had a part in it. */
export function showNumbers(work, tools, byHand) {
  const areas = work.structures.map(({ name }) => `${name} ${work.mask(name).area().toLocaleString("en")} px`);
  const assisted = byHand ? "drawn by hand" : work.assisted ? "assisted: a model’s mask was shown" : "not assisted so far";
  $("numbers").textContent = `${areas.join(", ")}. ${work.count} ${work.count === 1 ? "click" : "clicks"}. This label is marked: ${assisted}.`;
  $("undo").disabled = !work.past.length && !tools.corners;
  $("redo").disabled = !tools.lost.length && (!!tools.corners || !work.future.length);
}

/** Whether the model helps with this case, at the top where nobody misses it. */
export function purpose(byHand, side, second) {
  const hand = `${side === "validation" ? "Validation" : "Test"} case: drawn by hand, without the model.`;
  const again = " A second reading: somebody else draws it too, so that agreement can be measured.";
  $("purpose").textContent = (byHand ? hand : "Training case: the model helps.") + (second ? again : "");
  $("purpose").classList.toggle("hand", byHand);
  $("purpose").hidden = false;
}
