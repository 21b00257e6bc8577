/// <reference lib="esnext.disposable" preserve="true" />

/** `Symbol.asyncDispose`, or what stands for it where that does not exist yet. */
export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol.for('Symbol.asyncDispose') as typeof Symbol.asyncDispose)
