// Every key, in one table: the page acts by it, and `?` shows it.

const STEP = 10; // image pixels the crosshair moves; with Shift one
const AWAY = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** Keys that always work when the focus is on the picture: [keys, what they do]. */
const PICTURE = [
  ["Arrows", "move the crosshair 10 pixels; with Shift 1"],
  ["Enter", "use the tool at the crosshair: click object; put the brush down or up; begin or end the ellipse; a corner"],
  ["Backspace", "click background, or take away, at the crosshair"],
  ["Space", "held with a drag: move the picture"],
  ["Escape", "forget the shape that was begun, put the brush up"],
];

/**
 * Listens to the keyboard.
 * @param commands [[key, what, run], ...]; keys are as KeyboardEvent.key has them, letters small
 * @param steer (dx, dy) moves the crosshair
 * @param press (other) uses the tool at the crosshair
 * @param escape () forgets what was begun
 * @returns () whether the space bar is held
 */
export function listen({ stage, letters, commands, steer, press, escape }) {
  let space = false;
  const named = new Map(commands.flatMap(([keys, , run]) => keys.split(" ").map((key) => [key, run])));

  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.altKey) return;
    if (event.ctrlKey || event.metaKey) return chord(event);
    const free = document.activeElement === stage || document.activeElement === document.body;
    if (free && picture(event)) return event.preventDefault();
    const typing = event.target.closest("input:not([type=range], [type=checkbox], [type=radio]), select, textarea");
    if (typing || !letters.checked || (event.repeat && !"+-=,.<>[]".includes(event.key))) return;
    const run = named.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!run) return;
    event.preventDefault();
    run();
  });
  addEventListener("keyup", (event) => event.key === " " && hold(false));
  addEventListener("blur", () => hold(false));

  function hold(on) {
    space = on;
    stage.classList.toggle("moving", on);
  }

  function chord(event) {
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    named.get(key === "y" || event.shiftKey ? "y" : "z")();
  }

  function picture(event) {
    const away = AWAY[event.key], step = event.shiftKey ? 1 : STEP;
    if (away) steer(away[0] * step, away[1] * step);
    else if (event.key === "Enter" && !event.repeat) press(false);
    else if (event.key === "Backspace" && !event.repeat) press(true);
    else if (event.key === "Escape") escape();
    else if (event.key === " ") hold(true);
    else return false;
    return true;
  }

  return () => space;
}

/** Rows [keys, what] of the table that a person reads. */
export function table(commands) {
  return [...PICTURE, ...commands.map(([keys, what]) => [keys.toUpperCase().replace(" ", " or "), what])];
}
