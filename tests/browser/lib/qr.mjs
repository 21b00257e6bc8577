// Reads a QR code as a camera would: from the pixels that are on the screen.

import decodeQR from 'qr/decode.js'

// The text of the code that `locator` shows, in the tab of `page`.
export async function readQr({ tab }, locator) {
  const png = (await locator.screenshot()).toString('base64')
  const { width, height, data } = await tab.evaluate(async png => {
    const bytes = Uint8Array.from(atob(png), letter => letter.charCodeAt(0))
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
    const canvas = new OffscreenCanvas(image.width, image.height)
    const context = canvas.getContext('2d')
    context.drawImage(image, 0, 0)
    const { width, height, data } = context.getImageData(0, 0, image.width, image.height)
    return { width, height, data: btoa(data.reduce((text, byte) => text + String.fromCharCode(byte), '')) }
  }, png)
  return decodeQR({ width, height, data: new Uint8Array(Buffer.from(data, 'base64')) }, { timeLimit: 5000 })
}
