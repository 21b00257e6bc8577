const NEAR = 48

/**
 * Logs that stand at their end stay there when something is added, and new ones begin there. Call before drawing; call
 * what it returns after.
 */
export function keepAtEnd(root: ParentNode): () => void {
  const atEnd = new Map(logs(root).map(log => [log, log.scrollHeight - log.scrollTop - log.clientHeight < NEAR]))
  return () => {
    for (const log of logs(root)) if (atEnd.get(log) ?? true) log.scrollTop = log.scrollHeight
  }
}

const logs = (root: ParentNode) => [...root.querySelectorAll('[role=log]')]
