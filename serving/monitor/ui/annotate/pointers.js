// Mouse, pen and fingers on the stage: one draws, two pan and zoom, as do the middle button and the space bar.

/** Listens on the view's stage. `held` tells whether the space bar is down. */
export function listen(view, tools, held) {
  const stage = view.stage, down = new Map(); // pointer id -> last screen point
  let moving = null; // "tool" or "pan"

  stage.addEventListener("pointerdown", (event) => {
    if (!view.bitmap) return;
    stage.focus({ preventScroll: true });
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    view.crosshair = null;
    const screen = view.screen(event);
    down.set(event.pointerId, screen);
    if (down.size > 1) {
      if (moving === "tool") tools.abandon();
      moving = "pan";
    } else if (event.button === 1 || held()) {
      moving = "pan";
    } else {
      moving = "tool";
      tools.down(view.toImage(screen), event.button === 2);
    }
  });

  stage.addEventListener("pointermove", (event) => {
    const screen = view.screen(event), last = down.get(event.pointerId);
    if (!last) {
      if (event.pointerType !== "touch") tools.move(view.toImage(screen));
      return;
    }
    if (moving === "tool") tools.move(view.toImage(screen));
    else if (down.size === 1) view.pan(screen.x - last.x, screen.y - last.y);
    else pinch(event.pointerId, screen, last);
    down.set(event.pointerId, screen);
  });

  function pinch(id, screen, last) {
    const other = [...down].find(([one]) => one !== id)[1];
    const before = Math.hypot(last.x - other.x, last.y - other.y), after = Math.hypot(screen.x - other.x, screen.y - other.y);
    view.pan((screen.x - last.x) / 2, (screen.y - last.y) / 2);
    if (before > 10) view.zoom(after / before, { x: (screen.x + other.x) / 2, y: (screen.y + other.y) / 2 });
  }

  function ended(event) {
    if (!down.delete(event.pointerId)) return;
    if (moving === "tool" && event.type === "pointerup") tools.up(view.toImage(view.screen(event)));
    else if (moving === "tool") tools.abandon();
    if (event.pointerType === "touch") view.cursor = null;
    if (!down.size) moving = null;
  }
  stage.addEventListener("pointerup", ended);
  stage.addEventListener("pointercancel", ended);
  stage.addEventListener("pointerleave", () => {
    view.cursor = null;
    view.draw();
  });
  stage.addEventListener("dblclick", () => tools.corners && tools.close());
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    view.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), view.screen(event));
  }, { passive: false });
}
