// What the pages cannot do without a script: follow a run, open dialogs, keep relative
// times up to date, and a few keys. Every page works without it.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// Announcements for screen readers, at most one every five seconds; the last wins.
let saidAt = 0;
let toSay;
function announce(words) {
  const wait = Math.max(0, saidAt + 5000 - Date.now());
  clearTimeout(toSay);
  toSay = setTimeout(() => {
    saidAt = Date.now();
    $("#announcer").textContent = words;
  }, wait);
}

// busy returns whether the user is in a region, which must not be replaced then.
function busy(region) {
  return region.contains(document.activeElement) && document.activeElement !== region;
}

function ago(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

function tellTimes() {
  for (const time of $$("time[datetime]")) {
    const then = new Date(time.dateTime);
    const words = ago((Date.now() - then) / 1000);
    if (time.textContent !== words) time.textContent = words;
    if (!time.dataset.local) {
      time.dataset.local = "yes";
      time.title += ` (${then.toLocaleString()} here)`;
    }
  }
}

// The run's page: one stream, one region.
function follow(region) {
  let source;
  let heard = Date.now();
  let failures = 0;
  let retry;

  function stop() {
    clearTimeout(retry);
    source?.close();
  }
  function show(html) {
    heard = Date.now();
    failures = 0;
    if (busy(region)) return;
    const before = $(".state", region)?.dataset.word;
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    const bar = $("progress", region);
    const next = $("progress", fresh);
    if (bar && next && bar.hasAttribute("value") && next.hasAttribute("value")) {
      // The same element moves smoothly; a new one would jump.
      bar.max = next.max;
      bar.value = next.value;
      bar.textContent = next.textContent;
      next.replaceWith(bar);
    }
    region.replaceChildren(...fresh.childNodes);
    const word = $(".state", region)?.dataset.word;
    if (word !== before) announce(`Run is now: ${word}`);
  }
  function open() {
    stop();
    source = new EventSource(region.dataset.live);
    source.addEventListener("run", (e) => show(e.data));
    source.addEventListener("done", () => {
      stop();
      region.dataset.active = "false";
      whole(region);
    });
    source.addEventListener("signed-out", () => {
      stop();
      location.reload();
    });
    source.onerror = () => {
      // CLOSED means that the response was no stream but 401 or 404. After anything else the browser reconnects by itself.
      if (source.readyState !== EventSource.CLOSED) return;
      stop();
      failures += 1;
      if (failures > 3) {
        announce("This page no longer follows the run. Reload it.");
        return;
      }
      retry = setTimeout(open, 1000 * 2 ** failures + Math.random() * 1000);
    };
  }
  setInterval(() => {
    if (region.dataset.active !== "true" || document.hidden || Date.now() - heard < 45000) return;
    heard = Date.now();
    open();
  }, 5000);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (e) => {
    if (e.persisted && region.dataset.active === "true") open();
  });
  open();
}

// whole loads the page again when the run has ended: failures, coverage and timeline are complete now.
async function whole(region) {
  for (const gone of $$("[data-while-active]")) {
    if (gone.open) gone.close();
    gone.remove();
  }
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = $("main");
    if (busy(main)) return;
    main.replaceChildren(...$("main", fresh).childNodes);
    dress(main);
    tellTimes();
  } catch {
    region.dataset.active = "false"; // offline: the region shows how the run ended
  }
}

// Dialogs: links open them as dialogs, and focus returns to the link.
function openDialog(link) {
  const dialog = document.getElementById(link.dataset.dialog);
  if (!dialog || dialog.open) return false;
  dialog.showModal();
  dialog.addEventListener("close", () => link.focus(), { once: true });
  return true;
}

document.addEventListener("click", (e) => {
  const opener = e.target.closest("[data-dialog]");
  if (opener && openDialog(opener)) e.preventDefault();
  const closer = e.target.closest("[data-close]");
  if (closer) {
    e.preventDefault();
    closer.closest("dialog").close();
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  }
  if (e.target instanceof HTMLDialogElement && outside(e.target, e)) e.target.close();
});

function outside(dialog, e) {
  const box = dialog.getBoundingClientRect();
  return e.clientX < box.left || e.clientX > box.right || e.clientY < box.top || e.clientY > box.bottom;
}

// A form is sent once, however often it is clicked.
document.addEventListener("submit", (e) => {
  if (e.target.method !== "post") return;
  if (e.target.dataset.sent) e.preventDefault();
  e.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of $$("form[data-sent]")) delete form.dataset.sent;
});

document.addEventListener("change", (e) => {
  const form = e.target.form;
  if (form?.hasAttribute("data-submit-on-change")) {
    for (const field of $$("select", form)) field.disabled = field.value === "" && field.name !== "";
    form.requestSubmit();
  }
});

// Keys: j and k walk the rows, Enter opens, [ and ] page, g o goes to the list.
let pending = "";
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("dialog[open]")) return;
  if (e.target.closest("input, select, textarea, [contenteditable]")) return;
  const rows = $$(".runs tbody tr");
  const at = rows.findIndex((row) => row.hasAttribute("data-current"));
  const key = pending + e.key;
  pending = e.key === "g" ? "g" : "";
  if (key === "go") location.assign("/operations");
  else if (key === "j" || key === "k") walk(rows, at, key === "j" ? 1 : -1);
  else if (key === "Enter" && at >= 0 && document.activeElement === document.body) $("th a", rows[at]).click();
  else if (key === "]") $('.pager [rel="next"]')?.click();
  else if (key === "[") history.back();
});

function walk(rows, at, step) {
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  if (!next) return;
  rows[at]?.removeAttribute("data-current");
  next.setAttribute("data-current", "");
  $("th a", next).focus();
}

// dress adds what needs a script to markup that has just arrived.
function dress(root) {
  for (const button of $$("[data-copy]", root)) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      announce("Copied");
    });
  }
}

// A list is loaded again every ten seconds, unless the user is in it.
function refreshList() {
  const again = async () => {
    const list = $("[data-list]");
    const inUse = () => busy($(".runs", list) ?? list);
    if (document.hidden || !list || inUse() || $("dialog[open]")) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const fresh = $("[data-list]", new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (!fresh || inUse()) return;
    const held = list.contains(document.activeElement); // the list has the focus, for the keys that scroll it
    list.replaceWith(fresh);
    if (held) $(".scroll", fresh)?.focus({ preventScroll: true });
    tellTimes();
  };
  setInterval(again, 10000);
  document.addEventListener("visibilitychange", again);
}

dress(document);
tellTimes();
setInterval(tellTimes, 15000);
if ($("[data-list]")) refreshList();
const live = $('[data-live][data-active="true"]');
if (live) follow(live);
