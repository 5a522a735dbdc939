// Signs in with a token: typed, or behind the # of the address, which no server and no log ever sees.
const form = document.getElementById("form");
const said = document.getElementById("said");

function next() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") || "/", location.origin);
  return wanted.origin === location.origin ? wanted.href : "/"; // nobody is sent elsewhere from here
}

async function signIn(token) {
  said.textContent = "";
  const answer = await fetch("/api/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: token.trim() }),
  });
  if (answer.ok) {
    location.replace(next());
    return;
  }
  const body = await answer.json().catch(() => ({}));
  said.textContent = body.error ? `${body.error.what}: ${body.error.next}` : `The service answered ${answer.status}.`;
}

function attempt(token) {
  signIn(token).catch(() => { said.textContent = "The service does not answer."; });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(form.elements.token.value);
});

const given = location.hash.slice(1);
if (given) {
  history.replaceState(null, "", location.pathname + location.search); // out of the address line and its history
  attempt(given);
}
