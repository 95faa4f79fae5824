import tailwindcss from "@tailwindcss/vite";
import { defineConfig } from "vite";

// Vite bundles under stable names; Django's manifest storage adds the content hash, as it does for the admin's files.
// So there is one manifest, and templates use {% static %} alone.
export default defineConfig({
  plugins: [tailwindcss()],
  build: {
    outDir: "static/dist",
    emptyOutDir: true,
    rollupOptions: {
      input: "frontend/main.js",
      output: {
        entryFileNames: "main.js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
