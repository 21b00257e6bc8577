const worker = new Worker('dist/worker.js')

globalThis.meet = meeting =>
  new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data)
    worker.onerror = event => reject(new Error(event.message))
    worker.postMessage(meeting)
  })
