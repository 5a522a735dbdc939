// Before the first paint, so that a dark room stays dark: dark unless this browser chose otherwise.
(() => {
  let chosen = "dark";
  try {
    chosen = localStorage.getItem("parfocal.theme") ?? chosen;
  } catch { /* nothing is kept in this browser */ }
  document.documentElement.dataset.theme = chosen;
})();
