// The forms of claimed cases: what refreshes around them never takes what was typed into them.
"use strict";
(function () {
  const mine = document.getElementById("mine");
  const none = document.getElementById("mine-none");
  const told = document.getElementById("told");
  let claimed = [];

  function isTyped(card) {
    return card.querySelector("form[data-dirty]") !== null || card.contains(document.activeElement);
  }

  // a case that is over, or somebody else's, stays where it is while there is something in its form
  function close(card) {
    if (!isTyped(card) || card.querySelector("form") === null) {
      card.remove();
    } else if (!("over" in card.dataset)) {
      card.dataset.over = "";
      for (const button of card.querySelectorAll("button")) { button.disabled = true; }
      const said = card.querySelector(".said");
      said.className = "said error";
      said.textContent = "This case is no longer yours: your time is over, or it was closed. "
        + "What you wrote stays here until you leave the page.";
    }
  }

  function reopen(card) {
    delete card.dataset.over;
    for (const button of card.querySelectorAll("button")) { button.disabled = false; }
    card.querySelector(".said").textContent = "";
  }

  document.addEventListener("ai:fresh", (event) => {
    const fresh = new Map([...event.detail.querySelectorAll("#mine > article")].map((c) => [c.id, c]));
    for (const card of [...mine.children]) {
      const other = fresh.get(card.id);
      fresh.delete(card.id);
      if (!other) {
        close(card);
      } else {
        if ("over" in card.dataset) { reopen(card); }
        card.querySelector("[data-part=about]").replaceWith(other.querySelector("[data-part=about]"));
      }
    }
    mine.append(...fresh.values());
    none.hidden = mine.children.length > 0;
    const first = claimed.map((id) => document.getElementById("name-" + id)).find(Boolean);
    if (first) { first.focus(); }
    claimed = [];
  });

  window.addEventListener("beforeunload", (event) => {
    if (mine.querySelector("form[data-dirty]")) { event.preventDefault(); }
  });

  document.addEventListener("ai:sent", (event) => {
    const { form, body, message } = event.detail;
    if (Array.isArray(body)) {
      claimed = body.map((one) => one.id);
      told.textContent = claimed.length
        ? "You look at " + body.map((one) => "\u2068" + one.prediction_id + "\u2069").join(", ") + " now."
        : "Nothing is free for you: somebody else was faster, or it is assigned to others.";
      form.querySelector(".said").textContent = "";
    } else {
      told.textContent = message;
      const card = form.closest("article");
      if (card) { card.remove(); }
    }
    told.focus();  // the button that had it may be gone with the next refresh
  });
})();
