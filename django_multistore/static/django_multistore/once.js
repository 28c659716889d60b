// A form with data-multistore-once is sent once, however often its button is clicked. Everything
// works without this file, for the site knows a second POST of a form from another one.
"use strict";

{
  const PATIENCE = 10_000; // ms; after that the user may try again
  const sent = new Map();

  const release = (form) => {
    clearTimeout(sent.get(form));
    sent.delete(form);
    form.removeAttribute("aria-busy");
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-multistore-once]") || event.defaultPrevented) return;
    if (sent.has(form)) {
      event.preventDefault();
      return;
    }
    // The button isn't disabled: it would lose the focus, and what it says would not be sent.
    sent.set(form, setTimeout(release, PATIENCE, form));
    form.setAttribute("aria-busy", "true");
  });

  // Back may show the page as it was left.
  window.addEventListener("pageshow", () => [...sent.keys()].forEach(release));
}
