// What the page says: of the open case beside the picture, of the last one in the bar.

const $ = (id) => document.getElementById(id);
let passing = false;

/** @param brief it holds until the next change alone */
export function say(text, brief = false) {
  $("said").textContent = text;
  passing = brief;
}

/** Something changed: what held until then goes. */
export function hush() {
  if (passing) say("");
}

/** What became of the last case: a line of its own, which nothing about the next case overwrites. */
export function done(text) {
  $("done").textContent = text;
}
