// What this browser remembers of a person's choices; nothing where it keeps nothing.

const place = (name) => `parfocal.${name}`;

export function recall(name, otherwise) {
  try {
    return localStorage.getItem(place(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(place(name), value);
  } catch { /* it holds for this visit */ }
}
