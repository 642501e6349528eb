import { setTimeout as sleep } from "node:timers/promises";
import { PimsError } from "../core/errors.ts";
import { type CommandName, TPM_CC, TPM_RS_PW, TPM_ST, TPMA_SESSION_CONTINUE } from "./constants.ts";
import { describeResponseCode, TPM_RC_SUCCESS, tpmError } from "./response-code.ts";
import type { TpmTransport } from "./transport/transport.ts";
import { HEADER_BYTES } from "./transport/transport.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** A command without its header (TPM 2.0 Library part 1, "Command/Response Structure"). */
export interface Command {
  readonly name: CommandName;
  readonly handles?: readonly number[];
  /** The first handle is authorised with an empty password. */
  readonly authorized?: boolean;
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

const MAX_ATTEMPTS = 12;

/**
 * Sends a command and takes its response apart. Only a response that says that the command had no effect
 * (TPM_RC_RETRY, _YIELDED, _TESTING, _NV_RATE) makes it go again, for about three seconds. PimsError `tpm-error` for
 * any other code, `tpm-malformed` for a response of another form, `tpm-unreachable` when there was no response: then
 * the command may have been carried out all the same.
 */
export async function execute(tpm: TpmTransport, command: Command): Promise<Response> {
  const bytes = encodeCommand(command);
  for (let attempt = 1; ; attempt++) {
    const response = await tpm.send(bytes);
    const code = responseCodeOf(command, response);
    if (code === TPM_RC_SUCCESS) return decodeResponse(command, response);
    if (attempt >= MAX_ATTEMPTS || !describeResponseCode(code).retry) throw tpmError(command.name, code);
    await sleep(Math.min(5 * 2 ** (attempt - 1), 500));
  }
}

export function encodeCommand(command: Command): Uint8Array {
  const body = new WireWriter();
  for (const handle of command.handles ?? []) body.u32(handle);
  if (command.authorized) {
    // TPMS_AUTH_COMMAND: session, empty nonce, no attributes, empty password.
    const authorization = new WireWriter().u32(TPM_RS_PW).u16(0).u8(0).u16(0).done();
    body.u32(authorization.length).bytes(authorization);
  }
  const rest = body.bytes(command.parameters).done();
  return new WireWriter()
    .u16(command.authorized ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS)
    .u32(HEADER_BYTES + rest.length)
    .u32(TPM_CC[command.name])
    .bytes(rest)
    .done();
}

function responseReader(command: Command, response: Uint8Array): { tag: number; code: number; reader: WireReader } {
  const reader = new WireReader(response, `response to TPM2_${command.name}`);
  const tag = reader.u16();
  const size = reader.u32();
  if (size !== response.length) reader.fail(`${response.length} bytes where its header says ${size}`);
  return { tag, code: reader.u32(), reader };
}

function responseCodeOf(command: Command, response: Uint8Array): number {
  const { tag, code, reader } = responseReader(command, response);
  if (code === TPM_RC_SUCCESS) {
    const expected = command.authorized ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS;
    if (tag !== expected) reader.fail(`tag 0x${tag.toString(16)}`);
  } else {
    // An error is a header and nothing else.
    if (tag !== TPM_ST.NO_SESSIONS && tag !== TPM_ST.RSP_COMMAND) reader.fail(`tag 0x${tag.toString(16)}`);
    reader.end();
  }
  return code;
}

/** Takes apart a response whose code is TPM_RC_SUCCESS; `tpm-malformed` for any other form. */
export function decodeResponse(command: Command, response: Uint8Array): Response {
  const { code, reader } = responseReader(command, response);
  if (code !== TPM_RC_SUCCESS) throw new PimsError("tpm-malformed", `TPM2_${command.name} did not succeed`);
  const handle = command.returnsHandle ? reader.u32() : 0;
  const what = `response to TPM2_${command.name}`;
  if (!command.authorized) return { handle, parameters: new WireReader(reader.rest(), what) };
  const parameters = reader.bytes(reader.u32());
  // TPMS_AUTH_RESPONSE of a password: empty nonce, continueSession at most, empty acknowledgement.
  if (reader.u16() !== 0 || (reader.u8() & ~TPMA_SESSION_CONTINUE) !== 0 || reader.u16() !== 0)
    reader.fail("the authorisation is not a password's");
  reader.end();
  return { handle, parameters: new WireReader(parameters, what) };
}
