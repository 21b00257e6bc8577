/**
 * Mini-batch stochastic gradient descent on the cross-entropy loss, with the gradients written out by hand.
 * Seeded: the same digits, settings and seed give the same weights.
 */
import { Classifier, HIDDEN } from './classifier.js'
import { CLASSES, PIXELS, type Digits } from './digits.js'
import { seededRandom, shuffle } from './random.js'

export interface TrainingSettings {
  /** Times that all digits are seen. */
  epochs: number
  /** Digits between two steps. */
  batch: number
  /** Step size of the first epoch; falls linearly to a tenth of it in the last. */
  rate: number
  seed: number
}

export const DEFAULTS: TrainingSettings = { epochs: 6, batch: 8, rate: 0.1, seed: 7 }

/** Trains the classifier in place. */
export function train (classifier: Classifier, digits: Digits, settings: TrainingSettings = DEFAULTS): void {
  const { epochs, batch, rate, seed } = settings
  const random = seededRandom(seed)
  const order = Uint32Array.from({ length: digits.count }, (_, i) => i)
  const step = new Step(classifier)
  for (let epoch = 0; epoch < epochs; epoch++) {
    const decay = epochs === 1 ? 1 : 1 - 0.9 * epoch / (epochs - 1)
    shuffle(order, random)
    for (let start = 0; start < order.length; start += batch) {
      const chosen = order.subarray(start, start + batch)
      for (const i of chosen) step.add(digits.pixels.subarray(i * PIXELS, (i + 1) * PIXELS), digits.labels[i])
      step.take(rate * decay / chosen.length)
    }
  }
}

/** Gathers the gradients of a batch, then moves the weights against them. */
class Step {
  readonly #classifier: Classifier
  readonly #hiddenWeight = new Float32Array(PIXELS * HIDDEN)
  readonly #hiddenBias = new Float32Array(HIDDEN)
  readonly #outputWeight = new Float32Array(HIDDEN * CLASSES)
  readonly #outputBias = new Float32Array(CLASSES)
  readonly #hidden = new Float32Array(HIDDEN)
  readonly #scores = new Float32Array(CLASSES)
  readonly #error = new Float32Array(HIDDEN)

  constructor (classifier: Classifier) {
    this.#classifier = classifier
  }

  add (image: Float32Array, label: number): void {
    const hidden = this.#hidden
    const error = this.#error
    const { outputWeight } = this.#classifier
    this.#classifier.forward(image, hidden, this.#scores)

    // The gradient of the cross-entropy with respect to the scores: probability minus truth.
    const wrong = softmax(this.#scores)
    wrong[label] -= 1
    accumulate(this.#outputBias, wrong)
    for (let unit = 0; unit < HIDDEN; unit++) {
      error[unit] = 0
      if (hidden[unit] === 0) continue
      const row = unit * CLASSES
      for (let digit = 0; digit < CLASSES; digit++) {
        error[unit] += wrong[digit] * outputWeight[row + digit]
        this.#outputWeight[row + digit] += wrong[digit] * hidden[unit]
      }
    }
    accumulate(this.#hiddenBias, error)
    const gradient = this.#hiddenWeight
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      const grey = image[pixel]
      if (grey === 0) continue
      const row = pixel * HIDDEN
      for (let unit = 0; unit < HIDDEN; unit++) gradient[row + unit] += grey * error[unit]
    }
  }

  take (size: number): void {
    descend(this.#classifier.hiddenWeight, this.#hiddenWeight, size)
    descend(this.#classifier.hiddenBias, this.#hiddenBias, size)
    descend(this.#classifier.outputWeight, this.#outputWeight, size)
    descend(this.#classifier.outputBias, this.#outputBias, size)
  }
}

function accumulate (sum: Float32Array, values: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += values[i]
}

/** Moves the weights and clears the gradient for the next batch. */
function descend (weights: Float32Array, gradient: Float32Array, size: number): void {
  for (let i = 0; i < weights.length; i++) {
    weights[i] -= size * gradient[i]
    gradient[i] = 0
  }
}

/** In place. The greatest score is subtracted first so that no exponential overflows. */
function softmax (scores: Float32Array): Float32Array {
  const max = scores.reduce((a, b) => Math.max(a, b))
  let sum = 0
  for (let i = 0; i < scores.length; i++) {
    scores[i] = Math.exp(scores[i] - max)
    sum += scores[i]
  }
  for (let i = 0; i < scores.length; i++) scores[i] /= sum
  return scores
}
