/**
 * A network with one hidden layer, small enough to be read in one sitting:
 *
 *   784 grey values -> 64 hidden units, ReLU -> 10 scores, the greatest of which is the answer
 *
 * 50,890 weights, 204 kB as safetensors. Weight matrices are stored [inputs, outputs], row-major: an image is
 * four fifths black, and with this order a black pixel skips a whole row.
 */
import { CLASSES, PIXELS, type Digits } from './digits.js'
import { seededRandom } from './random.js'
import { readSafetensors, writeSafetensors, type Tensor } from './safetensors.js'

export const HIDDEN = 64

const SHAPES = {
  'hidden.weight': [PIXELS, HIDDEN],
  'hidden.bias': [HIDDEN],
  'output.weight': [HIDDEN, CLASSES],
  'output.bias': [CLASSES]
} as const

type TensorName = keyof typeof SHAPES

export class Classifier {
  readonly hiddenWeight: Float32Array
  readonly hiddenBias: Float32Array
  readonly outputWeight: Float32Array
  readonly outputBias: Float32Array

  private constructor (tensor: (name: TensorName) => Float32Array) {
    this.hiddenWeight = tensor('hidden.weight')
    this.hiddenBias = tensor('hidden.bias')
    this.outputWeight = tensor('output.weight')
    this.outputBias = tensor('output.bias')
  }

  /** Knows nothing yet: weights uniform in +-sqrt(6 / inputs) (He et al. 2015), biases zero. */
  static random (seed: number): Classifier {
    const random = seededRandom(seed)
    return new Classifier(name => {
      const [inputs, outputs] = SHAPES[name]
      if (outputs === undefined) return new Float32Array(inputs)
      const limit = Math.sqrt(6 / inputs)
      return Float32Array.from({ length: inputs * outputs }, () => (2 * random() - 1) * limit)
    })
  }

  /** Throws when the bytes are not safetensors, or hold another network than this one. */
  static fromSafetensors (bytes: Uint8Array): Classifier {
    const { tensors } = readSafetensors(bytes)
    return new Classifier(name => {
      const tensor = tensors.get(name)
      const expected = SHAPES[name]
      if (tensor === undefined || tensor.shape.join() !== expected.join()) {
        throw new Error(`expected a tensor "${name}" of shape [${expected.join(', ')}], found ${tensor ? `[${tensor.shape.join(', ')}]` : 'none'}`)
      }
      if (!tensor.data.every(Number.isFinite)) throw new Error(`the tensor "${name}" holds values that are not finite`)
      return tensor.data
    })
  }

  toSafetensors (metadata: Record<string, string> = {}): Uint8Array {
    const tensor = (name: TensorName, data: Float32Array): [string, Tensor] => [name, { shape: [...SHAPES[name]], data }]
    const tensors = new Map([
      tensor('hidden.weight', this.hiddenWeight),
      tensor('hidden.bias', this.hiddenBias),
      tensor('output.weight', this.outputWeight),
      tensor('output.bias', this.outputBias)
    ])
    return writeSafetensors({ tensors, metadata })
  }

  /** Fills `hidden` ({@link HIDDEN} values) and `scores` ({@link CLASSES} values) for one image. */
  forward (image: Float32Array, hidden: Float32Array, scores: Float32Array): void {
    hidden.set(this.hiddenBias)
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      const grey = image[pixel]
      if (grey === 0) continue
      const row = pixel * HIDDEN
      for (let unit = 0; unit < HIDDEN; unit++) hidden[unit] += grey * this.hiddenWeight[row + unit]
    }
    scores.set(this.outputBias)
    for (let unit = 0; unit < HIDDEN; unit++) {
      if (hidden[unit] <= 0) {
        hidden[unit] = 0
        continue
      }
      const row = unit * CLASSES
      for (let digit = 0; digit < CLASSES; digit++) scores[digit] += hidden[unit] * this.outputWeight[row + digit]
    }
  }

  /** The fraction of the digits that is read correctly, 0 to 1. */
  accuracy (digits: Digits): number {
    const hidden = new Float32Array(HIDDEN)
    const scores = new Float32Array(CLASSES)
    let correct = 0
    for (let i = 0; i < digits.count; i++) {
      this.forward(digits.pixels.subarray(i * PIXELS, (i + 1) * PIXELS), hidden, scores)
      if (greatest(scores) === digits.labels[i]) correct++
    }
    return correct / digits.count
  }
}

function greatest (scores: Float32Array): number {
  let best = 0
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i
  return best
}
