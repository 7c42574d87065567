// Text that fits into so many pixels. An SVG neither wraps nor cuts what is too long for its box.

const pen = document.createElement("canvas").getContext("2d");
const family = getComputedStyle(document.documentElement).fontFamily;

/** Cut a text so that it is no wider than this; `font` is its weight and size. */
export function fitted(text, width, font) {
  pen.font = `${font} ${family}`;
  if (pen.measureText(text).width <= width) return text;
  const letters = [...text];
  const cut = (length) => `${letters.slice(0, length).join("").trimEnd()}…`;
  let fits = 0;
  let over = letters.length;
  while (over - fits > 1) {
    const middle = (fits + over) >> 1;
    if (pen.measureText(cut(middle)).width <= width) fits = middle;
    else over = middle;
  }
  return cut(fits);
}
