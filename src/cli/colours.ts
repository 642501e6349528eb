import picocolors from "picocolors";

/** Colours for terminals only, also where a variable such as CI would have them elsewhere. NO_COLOR (no-color.org) turns them off. */
export const colours = picocolors.createColors(
  process.stdout.isTTY === true && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb",
);
