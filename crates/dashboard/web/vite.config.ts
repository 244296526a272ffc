import { defineConfig } from "vite";

// `npm run dev` shows the sources as they are, on the data of a server that runs: UPDRAFT_API_URL, or the one that `make run` starts.
const api = process.env.UPDRAFT_API_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  esbuild: { jsx: "automatic" },
  build: {
    outDir: "../dist/web",
    emptyOutDir: true,
    assetsDir: "assets/app",
    // A data: address in a style would not pass the policy of the page.
    assetsInlineLimit: 0,
    target: "es2022",
    reportCompressedSize: false,
    // The budget that counts is the one of scripts/compress.js, with gzip.
    chunkSizeWarningLimit: 1000,
    rollupOptions: {
      onwarn(warning, warn) {
        // "use client" is for frameworks that render on a server.
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") warn(warning);
      },
    },
  },
  server: { proxy: { "/api": api, "/ui": api, "/auth": api, "/openapi.json": api, "/assets/icon.svg": api } },
});
