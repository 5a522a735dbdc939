// The page begins here: what each control and key does.

import * as api from "./api.js";
import { View } from "./canvas.js";
import { ask, calm, keys as showKeys } from "./dialogs.js";
import { Flow, signIn } from "./flow.js";
import * as keys from "./keys.js";
import * as panel from "./panel.js";
import { listen as pointers } from "./pointers.js";
import { Queue } from "./queue.js";
import { recall, remember } from "./remember.js";
import { hush, say } from "./said.js";
import { Tools } from "./tools.js";

const $ = (id) => document.getElementById(id);
const STRUCTURES = [1, 2, 3, 4]; // that have a key
const LOOK = 10000; // milliseconds between two looks at the queue 

const queue = new Queue(), view = new View($("stage"));
const tools = new Tools(view, {
  began: (name) => flow.desk.draw(name),
  changed: (name) => flow.desk.drawn(name),
  dropped: (name) => flow.desk.drop(name),
  shaped: () => {
    if (!flow.desk) return;
    hush();
    flow.desk.draft.changed();
    shown();
  },
  clicked: (name, click) => {
    if (queue.data.clicks) flow.desk.click(name, click);
    else say("Nothing answers clicks here. Start the segmenter with PARFOCAL_CLICKS_MODEL, or draw.");
  },
});
const flow = new Flow(queue, view, tools, { shown, choose });

function shown() {
  const { desk } = flow;
  panel.showLooks(view, tools);
  if (!desk) return;
  view.clicks = desk.work.now[tools.structure].clicks;
  view.active = desk.work.structures.findIndex(({ name }) => name === tools.structure);
  panel.showNumbers(desk.work, tools, desk.byHand);
  panel.showTools(tools, desk.byHand);
  view.draw();
}

function choose(name) {
  if (!flow.desk?.work.now[name]) return;
  if (name !== tools.structure) settle();
  tools.structure = name;
  panel.pick(name);
  shown();
}

function use(tool) {
  if (flow.desk?.byHand && tool === "click") return say("This case is drawn by hand: brush, ellipse or polygon.", true);
  if (tool !== tools.tool) {
    settle();
    tools.use(tool);
  }
  shown();
}

/** Before another tool or structure: a polygon with enough corners is closed; with fewer it goes, and that is said. */
function settle() {
  tools.rest();
  if (!tools.corners || tools.close()) return;
  tools.cancel();
  say("The polygon had fewer than three corners, so it is gone.", true);
}

function close() {
  if (flow.desk && !tools.close()) say("A polygon needs three corners.", true);
}

function clear() {
  if (!flow.desk) return;
  const name = tools.structure;
  tools.rest();
  if (flow.desk.clear(name)) say(`The ${name} is cleared. Undo brings it back.`, true);
  else say(`Nothing is drawn for the ${name}.`, true);
}

/** The tool at the crosshair; the first time the crosshair only comes. */
function press(other) {
  if (!flow.desk) return;
  if (!view.crosshair) return view.steer(0, 0);
  if (tools.drawing && tools.tool !== "polygon") return tools.up(view.crosshair);
  tools.down(view.crosshair, other);
  if (tools.tool === "click") tools.up(view.crosshair);
}

function steer(dx, dy) {
  if (!flow.desk) return;
  view.steer(dx, dy);
  tools.move(view.crosshair);
}

function where() {
  if (!flow.desk || !view.crosshair) return say("The crosshair is not on the picture. Arrow keys bring it.", true);
  const { work } = flow.desk, row = Math.floor(view.crosshair.y), column = Math.floor(view.crosshair.x);
  const inside = work.structures.map(({ name }) => name).filter((name) => work.mask(name).has(column, row));
  say(`Row ${row}, column ${column}, in ${inside.length ? inside.join(" and ") : "nothing"}.`, true);
}

function flip(name) {
  view.look[name] = !view.look[name];
  shown();
}

/** Undo or redo: of an open polygon one corner, else one step of the work. */
function travel(back) {
  if (!flow.desk) return;
  tools.rest();
  if (back ? tools.back() : tools.forth()) return;
  if (!tools.corners) {
    tools.cancel(); // corners that were taken back do not outlive a step of the work
    if (flow.desk.travel(back)) return;
  }
  say(`Nothing to ${back ? "undo" : "redo"}.`, true);
}

function background() {
  tools.background = !tools.background;
  shown();
}

/** [keys, what they do, the function, the button that does the same]. */
const COMMANDS = [
  ["n", "next case", () => flow.once(flow.next), "next"],
  ["a", "accept", () => flow.once(flow.accept), "accept"],
  ["s", "skip", () => flow.once(() => flow.leave("skip")), "skip"],
  ["r", "reject", () => flow.once(() => flow.leave("reject")), "reject"],
  ["u", "unreadable", () => flow.once(() => flow.leave("unreadable")), "unreadable"],
  ["q", "put the case back, with its draft", () => flow.once(() => flow.leave("release")), "release"],
  ["p", "the model’s proposal (training cases)", () => flow.propose(), "proposal"],
  ...STRUCTURES.map((i) => [`${i}`, `structure ${i}`, () => choose(flow.desk?.work.structures[i - 1]?.name)]),
  ["c", "click tool (training cases)", () => use("click")],
  ["b", "brush", () => use("brush")],
  ["e", "eraser", () => use("erase")],
  ["l", "ellipse, from one corner of its box to the other", () => use("ellipse")],
  ["g", "polygon, a corner each time", () => use("polygon")],
  ["f", "close the polygon", close, "close-shape"],
  ["d", "clear this structure", clear, "clear"],
  ["x", "whether the main button means object or background", background, "background"],
  ["z", "undo (also Ctrl+Z); of an open polygon its last corner", () => travel(true), "undo"],
  ["y", "redo (also Ctrl+Y, Ctrl+Shift+Z)", () => travel(false), "redo"],
  ["+ =", "zoom in", () => view.zoom(1.25), "zoom-in"],
  ["-", "zoom out", () => view.zoom(0.8), "zoom-out"],
  ["0", "fit the picture", () => view.fit(), "fit"],
  ["[", "smaller brush", () => panel.nudge("radius", -2)],
  ["]", "larger brush", () => panel.nudge("radius", 2)],
  [",", "darker", () => panel.nudge("brightness", -2)],
  [".", "brighter", () => panel.nudge("brightness", 2)],
  ["<", "less contrast", () => panel.nudge("contrast", -2)],
  [">", "more contrast", () => panel.nudge("contrast", 2)],
  ["o", "filled, or outlines only", () => flip("filled"), "filled"],
  ["h", "hide or show the masks", () => flip("hidden"), "hidden"],
  ["w", "where the crosshair is", where],
  ["?", "these keys", () => showKeys(keys.table(COMMANDS.filter(there))), "help"],
];

/** Whether a command is one for this task: it may have fewer structures than there are keys. */
function there([key]) {
  return !STRUCTURES.includes(Number(key)) || Number(key) <= (queue.data?.structures.length ?? 0);
}

function wire() {
  for (const [, , run, button] of COMMANDS) if (button) $(button).addEventListener("click", run);
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => use(button.dataset.tool));
  panel.looks(view, tools, shown);
  const escape = () => tools.cancel();
  pointers(view, tools, keys.listen({ stage: $("stage"), letters: $("letters"), commands: COMMANDS, press, steer, escape }));
  for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, () => flow.desk?.touch());
  addEventListener("pagehide", () => flow.desk?.draft.flush());
  document.addEventListener("visibilitychange", () => document.hidden && flow.desk?.draft.flush());
  $("dismiss").addEventListener("click", calm);
  $("instrument").addEventListener("change", () => flow.desk || flow.idle("No case is open", ""));
  $("rename").addEventListener("click", () => introduce(true));
  $("sign-out").addEventListener("click", () => flow.once(async () => {
    flow.desk?.draft.flush();
    await api.signOut();
    signIn();
  }));
  choices();
  setInterval(look, LOOK);
}

/** Theme and habits, as this browser remembers them. */
function choices() {
  $("theme").value = document.documentElement.dataset.theme;
  $("theme").addEventListener("change", () => {
    document.documentElement.dataset.theme = $("theme").value;
    remember("theme", $("theme").value);
  });
  for (const id of ["proposal-first", "letters"]) {
    $(id).checked = recall(id, "yes") === "yes";
    $(id).addEventListener("change", () => remember(id, $(id).checked ? "yes" : "no"));
  }
  shown();
}

/** New photographs come while a person waits, and a retrain goes on while one draws. */
async function look() {
  if (flow.busy || tools.drawing || document.hidden || !queue.data) return;
  try {
    const found = await api.queue();
    if (!flow.busy && !tools.drawing) queue.show(found);
  } catch { /* the next look is soon, and whoever presses a button is told */ }
}

/** Who labels: the session says it, or, where nobody signs in, the person does, once. */
async function introduce(again = false) {
  const me = await api.session();
  $("sign-out").hidden = me.open;
  $("who").hidden = me.open;
  flow.annotator = me.open ? recall("annotator", "") : me.name;
  while (!flow.annotator || (again && me.open)) {
    const said = await ask({ title: "Who labels?", text: "Every label carries the name of the person who drew it.", label: "Your name",
      value: flow.annotator, yes: "Begin" });
    if (said) remember("annotator", (flow.annotator = said));
    if (flow.annotator) break;
  }
  $("who").textContent = $("rename").textContent = flow.annotator;
  $("rename").hidden = !me.open; // it has a name now
  $("rename").setAttribute("aria-label", `${flow.annotator}: change the name`);
}

async function start() {
  await introduce();
  queue.show(await api.queue());
  flow.idle("No case is open", "");
  if (flow.resumes) await flow.next();
}

wire();
flow.once(start);
