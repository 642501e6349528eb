import { type JsonText, jsonTextBytes } from "../core/bytes.ts";

/**
 * Programs and libraries that translate to machine code as they run, by file name. Version numbers in the name are
 * part of the patterns. Not here: libffi and libpcre2, which make code only when a program asks.
 */
const runtimes: readonly RegExp[] = [
  // JavaScript and WebAssembly
  /^(node|nodejs|deno|bun|d8|gjs|gjs-console)$/,
  /^(chrome|chromium|electron|firefox|firefox-esr|thunderbird|msedge)$/,
  /^lib(node|v8|v8_.*|mozjs-.*|javascriptcoregtk-.*|wasmtime|wasmer)\.so(\..*)?$/,
  /^(wasmtime|wasmer|wasmedge)$/,
  // Java and what else has its virtual machine
  /^(java|javac|javadoc|javap|jar|jarsigner|jcmd|jdb|jdeprscan|jdeps|jfr|jhsdb|jimage|jinfo|jlink|jmap|jmod)$/,
  /^(jpackage|jps|jrunscript|jshell|jstack|jstat|jstatd|jwebserver|keytool|rmiregistry|serialver)$/,
  /^(libjvm|libj9jit[0-9]*|libjvmcicompiler)\.so$/,
  // .NET and Mono
  /^(dotnet|mono|mono-sgen)$/,
  /^(libcoreclr|libclrjit|libmonosgen-2\.0|libcoreclrtraceptprovider)\.so(\..*)?$/,
  // Lua
  /^luajit(-.*)?$/,
  /^libluajit-5\.1\.so(\..*)?$/,
  // PHP's just-in-time compiler lives in its opcode cache
  /^opcache\.so$/,
  // Ruby and Python with a compiler inside
  /^ruby([0-9.]+)?$/,
  /^libruby(-.*)?\.so(\..*)?$/,
  /^pypy[0-9.]*$/,
  /^libpypy[0-9.]*-c\.so$/,
  // Erlang
  /^beam(\.smp)?$/,
  // Julia, R's and PostgreSQL's compilers go through LLVM
  /^(julia|lli(-[0-9]+)?)$/,
  /^(libjulia(-.*)?|llvmjit)\.so(\..*)?$/,
  // Emulators, without the tools that come with them
  /^qemu-(?!(?:img|nbd|io|ga|edid|keymap)$)(system-)?[a-z0-9_]+(-static)?$/,
];

/** Whether a program or library with this path or file name is a well-known just-in-time runtime. */
export function isJitRuntime(path: JsonText): boolean {
  const name = fileName(path);
  return runtimes.some((pattern) => pattern.test(name));
}

/**
 * Whether a library holds a compiler that works only when a program asks for it: then who asks is allowed to compile,
 * and not everybody who has it loaded.
 */
export function holdsCompiler(path: JsonText): boolean {
  return /^libpcre2-(8|16|32)\.so(\..*)?$/.test(fileName(path));
}

/**
 * Whether a library maps its own code again, at other addresses: libffi's closures are such copies. Just-in-time runtimes
 * do it too (V8 puts its built-in functions beside the code that it makes).
 */
export function mapsItselfAgain(path: JsonText): boolean {
  return /^libffi\.so(\..*)?$/.test(fileName(path));
}

function fileName(path: JsonText): string {
  const text = Buffer.from(jsonTextBytes(path)).toString("latin1");
  return text.slice(text.lastIndexOf("/") + 1);
}
