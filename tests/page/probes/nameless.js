// What can be used and has no name for a screen reader.
() => [...document.querySelectorAll("button, a[href], input, select, textarea, [role=button], [role=tab], [role=table], [role=log]")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !(element.getAttribute("aria-label") || element.labels?.length || element.textContent.trim() || element.getAttribute("aria-labelledby")))
  .map((element) => element.outerHTML.slice(0, 120))
