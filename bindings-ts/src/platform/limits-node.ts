/** @internal Bytes of the largest WebSocket message taken. One carries what the other end flushes at once, a few frames of 64 KiB. */
export const MAX_SOCKET_MESSAGE = 4 * 1024 * 1024
