// Times in the viewer's zone, data that refreshes by itself, and forms that say what became of them.
"use strict";
(function () {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const fresh = document.getElementById("fresh");
  const every = 1000 * Number(document.body.dataset.refresh || 0);

  function localise(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) {
        time.title = time.dateTime;
        time.textContent = format.format(at);
      }
    }
  }

  function isBusy(live) {
    const active = document.activeElement;
    return live.contains(active) && active.matches("input, select, textarea, button, summary")
      || live.querySelector("form[data-dirty], dialog[open]") !== null
      || String(window.getSelection() || "") !== "";
  }

  // what a change must carry, since the cookie comes along with any site's request
  function token(page = document) {
    return page.querySelector("meta[name=csrf-token]");
  }

  let shown = null;
  let turns = 0;
  async function refresh() {
    const live = document.getElementById("live");
    if (document.hidden || isBusy(live)) { return; }
    const turn = ++turns;
    let answer;
    try {
      answer = await fetch(window.location.href, { credentials: "same-origin", redirect: "error" });
    } catch (problem) {
      fresh.textContent = "Airflow does not answer; trying again";
      return;
    }
    if (answer.status === 401 || answer.status === 403) {
      fresh.textContent = "You are signed out: load the page anew";
      return;
    }
    if (!answer.ok) {
      fresh.textContent = "Not refreshed: the server answered " + answer.status;
      return;
    }
    const text = await answer.text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const found = page.getElementById("live");
    if (!found || turn !== turns || isBusy(live)) { return; }  // a later one knows more
    token().content = token(page).content;
    document.dispatchEvent(new CustomEvent("ai:fresh", { detail: page }));
    const open = new Set([...live.querySelectorAll("details[open][id]")].map((d) => d.id));
    if (shown !== found.innerHTML) {
      shown = found.innerHTML;
      live.replaceChildren(...found.childNodes);
      for (const id of open) {
        const details = document.getElementById(id);
        if (details) { details.open = true; }
      }
    }
    localise(document);
    fresh.textContent = "As of " + new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }).format(new Date());
  }

  // the field that "data-json" names is JSON already, so that it keeps its type
  function valuesOf(form) {
    const values = {};
    for (const [name, value] of new FormData(form)) {
      if (value !== "") { values[name] = value; }
    }
    for (const field of form.querySelectorAll("input[type=number]")) {
      if (field.name in values) { values[field.name] = Number(values[field.name]); }
    }
    const json = form.dataset.json;
    if (json in values) { values[json] = JSON.parse(values[json]); }
    return values;
  }

  // Airflow's own API wants the inputs of a run under "conf"
  function bodyOf(form) {
    const values = valuesOf(form);
    return form.dataset.as === "run" ? { logical_date: null, conf: values } : values;
  }

  async function send(form, button) {
    const said = form.querySelector(".said");
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) { return; }
    button.disabled = true;
    said.className = "said faint";
    said.textContent = "Sending…";
    try {
      const answer = await fetch(button.hasAttribute("formaction") ? button.formAction : form.action, {
        method: "POST",
        credentials: "same-origin",
        headers: {
          "Content-Type": "application/json",
          "X-Airflow-AI-Token": token().content,
        },
        body: button.dataset.body || JSON.stringify(bodyOf(form)),
      });
      const body = await answer.json().catch(() => ({}));
      if (answer.ok) {
        said.className = "said pass";
        const message = body.message || button.dataset.done || form.dataset.done || "Done.";
        said.textContent = message;
        delete form.dataset.dirty;
        form.reset();
        document.dispatchEvent(new CustomEvent("ai:sent", { detail: { form, body, message } }));
        setTimeout(refresh, 400);
      } else {
        said.className = "said error";
        const detail = typeof body.detail === "string" ? body.detail : "the server answered " + answer.status;
        said.textContent = (answer.status === 403 ? "Refused: " : "Not done: ") + detail;
      }
    } catch (problem) {
      said.className = "said error";
      said.textContent = "Airflow does not answer; nothing was changed. Try again.";
    }
    button.disabled = false;
  }

  async function ask(button) {
    const said = document.getElementById(button.getAttribute("aria-controls"));
    button.disabled = true;
    said.textContent = "Looking…";
    try {
      const answer = await fetch(button.dataset.ask, { credentials: "same-origin" });
      const body = await answer.json();
      said.textContent = body.message || JSON.stringify(body);
      said.className = "said " + (body.ok ? "pass" : "error");
    } catch (problem) {
      said.textContent = "Airflow does not answer. Try again.";
    }
    button.disabled = false;
  }

  document.addEventListener("submit", (event) => {
    if (event.target.matches("form[data-send]")) {
      event.preventDefault();
      send(event.target, event.submitter || event.target.querySelector("button[type=submit]"));
    }
  });
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-send]");
    if (form) { form.dataset.dirty = ""; }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-ask]");
    if (button) { ask(button); }
  });
  localise(document);
  if (every > 0) { setInterval(refresh, every); }
})();
