// The contrast of every text that is seen, against what is behind it.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = (color) => {
    const [r, g, b] = color.map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest(".dim, .state-skipped, option, button:disabled, title, noscript")) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    let ground = rgba(getComputedStyle(document.documentElement).backgroundColor);
    for (const layer of layers.reverse()) ground = over(layer, ground);
    if (svg) {
      const box = element.parentElement.querySelector(".node-box");
      if (box) ground = over(rgba(getComputedStyle(box).fill), ground);
    }
    const ink = over(rgba(svg ? style.fill : style.color), ground);
    const [one, other] = [light(ink.slice(0, 3)), light(ground.slice(0, 3))].sort((a, b) => b - a);
    found.push([(one + 0.05) / (other + 0.05), text.slice(0, 40), element.className.baseVal ?? element.className]);
  }
  return found;
}
