"""The page: how many coins there are, and how fast they come. GET /json gives the numbers."""

import json
import time

from peers import Handler, Store, port, serve

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>dockercoins</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 10vh auto; padding: 0 1rem; }
  output { font-size: 6rem; font-variant-numeric: tabular-nums; display: block; line-height: 1.1; }
  svg { width: 100%; height: 6rem; stroke: currentColor; fill: none; stroke-width: 2; }
</style>
<h1>dockercoins</h1>
<output id="coins">&hellip;</output>
<p id="speed">waiting for the store</p>
<svg viewBox="0 0 600 100" preserveAspectRatio="none"><polyline id="line"></polyline></svg>
<script>
  const points = [];
  async function look() {
    try {
      const now = await (await fetch("json")).json();
      points.push(now);
      while (points.length > 61) points.shift();
      document.getElementById("coins").value = now.coins;
      const rates = points.slice(1).map((p, i) => (p.hashes - points[i].hashes) / (p.now - points[i].now));
      const most = Math.max(1, ...rates);
      document.getElementById("line").setAttribute("points",
        rates.map((r, i) => `${i * 10},${98 - 96 * r / most}`).join(" "));
      document.getElementById("speed").textContent =
        `coins mined; ${rates.length ? rates[rates.length - 1].toFixed(1) : "..."} hashes per second`;
    } catch (error) {
      document.getElementById("speed").textContent = "waiting for the store";
    }
  }
  look();
  setInterval(look, 1000);
</script>
</html>
"""


class Page(Handler):
    """GET / is the page, GET /json the numbers."""

    def do_GET(self) -> None:  # noqa: N802 - so http.server calls it
        """Answer."""
        if self.path == "/":
            self.give(PAGE, "text/html; charset=utf-8")
        elif self.path == "/json":
            self._give_numbers()
        else:
            self.give(b"wanted: / or /json\n", "text/plain", 404)

    def _give_numbers(self) -> None:
        store = Store()
        try:
            coins, hashes = store.do("HLEN", "wallet"), int(store.do("GET", "hashes") or 0)
        except OSError as error:
            self.give(json.dumps({"error": str(error)}).encode(), "application/json", 503)
            return
        finally:
            store.close()
        self.give(json.dumps({"coins": coins, "hashes": hashes, "now": time.time()}).encode(), "application/json")


if __name__ == "__main__":
    serve("webui", port(8000), Page)
