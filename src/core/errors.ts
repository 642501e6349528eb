/**
 * Everything that can go wrong in a way PIMS foresaw. `code` is for programs, `message` is one sentence for a person
 * that says what is wrong, `hint` one sentence that says what to do about it.
 */
export class PimsError extends Error {
  override readonly name = "PimsError";
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** The `code` of a PimsError or of a Node system error (`ENOENT`, …), undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}

/** One line for a person, whatever was thrown. Never a stack trace. */
export function describeError(error: unknown): string {
  if (error instanceof PimsError) return error.hint ? `${error.message}: ${error.hint}` : error.message;
  if (error instanceof Error) return error.message.split("\n")[0] ?? error.name;
  return String(error);
}
