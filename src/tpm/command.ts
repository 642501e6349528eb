import { checkAuthorizations, type PendingAuthorizations, writeAuthorizations } from "./authorization-area.ts";
import { type CommandName, TPM_CC, TPM_ST } from "./constants.ts";
import { type Handle, handleOf } from "./handle.ts";
import { TPM_RC_SUCCESS, tpmError } from "./response-code.ts";
import type { Authorization } from "./session.ts";
import { HEADER_BYTES, type TpmTransport } from "./transport/transport.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** A command without its header (TPM 2.0 Library part 1, "Command/Response Structure"). */
export interface Command {
  readonly name: CommandName;
  readonly handles?: readonly Handle[];
  /** One for each handle that needs it, in their order, then those that only encrypt. */
  readonly authorizations?: readonly Authorization[];
  readonly parameters: Uint8Array;
  /** The response starts with a handle. */
  readonly returnsHandle?: boolean;
}

export interface Response {
  /** 0 when the command returns none. */
  readonly handle: number;
  /** Reads the response's parameters; whoever reads them calls `end()`. */
  readonly parameters: WireReader;
}

interface PreparedCommand {
  readonly bytes: Uint8Array;
  readonly pending: PendingAuthorizations | null;
}

/**
 * Sends a command and takes its response apart. PimsError `tpm-error` for any response code but success, `tpm-malformed`
 * for a response of another form or one that a session's HMAC does not confirm, `tpm-unreachable` when there was no
 * response: then the command may have been carried out all the same.
 */
export async function execute(tpm: TpmTransport, command: Command): Promise<Response> {
  const sessions = (command.authorizations ?? []).flatMap(({ session }) => session ?? []);
  if (sessions.some(({ busy }) => busy)) throw new Error("a session serves one command at a time");
  for (const session of sessions) session.busy = true;
  try {
    const prepared = prepareCommand(command);
    return readResponse(command, prepared, await tpm.send(prepared.bytes));
  } finally {
    for (const session of sessions) session.busy = false;
  }
}

export function prepareCommand(command: Command): PreparedCommand {
  const handles = command.handles ?? [];
  const body = new WireWriter();
  for (const handle of handles) body.u32(handleOf(handle));
  let pending: PendingAuthorizations | null = null;
  if (command.authorizations?.length) {
    const written = writeAuthorizations(TPM_CC[command.name], handles, command.authorizations, command.parameters);
    body.u32(written.area.length).bytes(written.area).bytes(written.parameters);
    pending = written.pending;
  } else body.bytes(command.parameters);
  const rest = body.done();
  const bytes = new WireWriter()
    .u16(pending === null ? TPM_ST.NO_SESSIONS : TPM_ST.SESSIONS)
    .u32(HEADER_BYTES + rest.length)
    .u32(TPM_CC[command.name])
    .bytes(rest)
    .done();
  return { bytes, pending };
}

/** Takes apart the response to a prepared command, as `execute` does. */
export function readResponse(command: Command, { pending }: PreparedCommand, response: Uint8Array): Response {
  const what = `response to TPM2_${command.name}`;
  const reader = new WireReader(response, what);
  const tag = reader.u16();
  const size = reader.u32();
  if (size !== response.length) reader.fail(`${response.length} bytes where its header says ${size}`);
  const code = reader.u32();
  if (code !== TPM_RC_SUCCESS) {
    // An error is a header and nothing else.
    if (tag !== TPM_ST.NO_SESSIONS && tag !== TPM_ST.RSP_COMMAND) reader.fail(`tag 0x${tag.toString(16)}`);
    reader.end();
    throw tpmError(command.name, code);
  }
  if (tag !== (pending === null ? TPM_ST.NO_SESSIONS : TPM_ST.SESSIONS)) reader.fail(`tag 0x${tag.toString(16)}`);
  const handle = command.returnsHandle ? reader.u32() : 0;
  if (pending === null) return { handle, parameters: new WireReader(reader.rest(), what) };
  const parameters = reader.bytes(reader.u32());
  const plain = checkAuthorizations(pending, parameters, reader);
  reader.end();
  return { handle, parameters: new WireReader(plain, what) };
}

/** For a command whose response has no parameters. */
export async function executePlainly(tpm: TpmTransport, command: Command): Promise<void> {
  (await execute(tpm, command)).parameters.end();
}
