// The counters, with the texts that the server writes.

export class Tiles {
  constructor(list) {
    this.tiles = new Map([...list.querySelectorAll("[data-tile]")].map((tile) => [tile.dataset.tile, tile]));
  }

  show({ texts }) {
    for (const [key, parts] of Object.entries(texts.tiles)) {
      for (const [part, text] of Object.entries(parts)) {
        const element = this.tiles.get(key)?.querySelector(`[data-${part}]`);
        if (element && element.textContent !== text) element.textContent = text;
      }
    }
  }
}
