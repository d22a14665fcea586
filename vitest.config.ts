/** @file Test runner settings. Tests import the built package through `#src/*`: build first (`npm test` does). */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Processes, not threads: native modules and the workers they start are then as they are for a user.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ["default"],
    // The built files are loaded by Node itself, untransformed, as a user's program loads them.
    server: { deps: { external: [/\/dist\//] } },
  },
});
