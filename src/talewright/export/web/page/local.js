// Opened from a folder and not from a server, a browser runs neither modules nor workers: this says so.
if (location.protocol === "file:") {
  document.getElementById("failing-words").textContent =
    "This page has to come from a web server. In its folder, run: python -m http.server 8000 - and then open http://localhost:8000.";
  document.getElementById("failing").hidden = false;
  document.getElementById("again").hidden = true;
  document.getElementById("loading").hidden = true;
}
