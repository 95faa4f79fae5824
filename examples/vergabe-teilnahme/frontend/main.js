import Alpine from "@alpinejs/csp";
import "htmx.org";

import "./main.css";

// Components by name: the content security policy allows no expressions to be evaluated from attributes.
Alpine.data("navigation", () => ({
  open: false,
  toggle() {
    this.open = !this.open;
  },
  close() {
    this.open = false;
  },
}));

Alpine.data("message", () => ({
  shown: true,
  dismiss() {
    this.shown = false;
  },
}));

Alpine.start();
