// Two fingers on a picture: it goes where they go, and grows as they part. One finger is left to others.

/** Call `change(before, after)` for each move of either: `{x, y}` between them, and how far `apart` they are. */
export function onPinch(element, change) {
  const fingers = new Map();
  const between = () => {
    const [one, other] = fingers.values();
    return {
      x: (one.clientX + other.clientX) / 2,
      y: (one.clientY + other.clientY) / 2,
      apart: Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY)),
    };
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") fingers.set(event.pointerId, event);
  });
  element.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.size === 2 ? between() : null;
    fingers.set(event.pointerId, event);
    if (before) change(before, between());
  });
  for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, (event) => fingers.delete(event.pointerId));
  return fingers;
}
