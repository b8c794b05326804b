"""Expressions for Browser.run() that find what is wrong with the look of a page: a list, empty if nothing is."""

# Text whose color is too close to what is behind it (WCAG 2.1, 1.4.3), but for what is shown as absent.
LOW_CONTRAST = """
(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] === 1)
        return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || element.closest(".unused, .off, .skip, script, svg, :disabled") || !element.checkVisibility())
      continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5)
      found.push(`${element.className || element.tagName}: ${element.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
})()
"""

# What is wider than the window and not in something that scrolls.
OVERFLOWING = """
[...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 &&
  element.checkVisibility() && !element.closest(".scroll, .list, .source, pre, nav, .skip")).map((e) => e.outerHTML.slice(0, 80))
"""
