import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { Classifier } from '../src/classifier.js'
import { CLASSES, HELD_OUT, loadDigits, PIXELS, TOTAL, TRAINING, type Digits } from '../src/digits.js'
import { SafetensorsError, writeSafetensors } from '../src/safetensors.js'
import { DEFAULTS, train } from '../src/trainer.js'

let training: Digits
let heldOut: Digits
before(async () => {
  [training, heldOut] = await Promise.all([loadDigits('training'), loadDigits('held-out')])
})

describe('the digits', () => {
  test('are 8,000 to learn from and 2,000 held out, none in both', () => {
    assert.equal(training.count, TRAINING)
    assert.equal(heldOut.count, HELD_OUT)
    assert.equal(new Set([...training.sources, ...heldOut.sources]).size, TOTAL)

    const images = new Set<string>()
    for (const { count, pixels } of [training, heldOut]) {
      for (let i = 0; i < count; i++) images.add(Buffer.from(pixels.slice(i * PIXELS, (i + 1) * PIXELS).buffer).toString('base64'))
    }
    assert.equal(images.size, TOTAL, 'no image occurs twice')
  })

  test('are grey values in [0, 1], with every class in each part', () => {
    for (const { pixels, labels, count } of [training, heldOut]) {
      assert.ok(pixels.every(grey => grey >= 0 && grey <= 1))
      for (let label = 0; label < CLASSES; label++) {
        const share = labels.filter(is => is === label).length / count
        assert.ok(share > 0.06 && share < 0.14, `${label} makes up ${share}`)
      }
    }
  })

  test('are split alike each time', async () => {
    assert.deepEqual((await loadDigits('held-out')).sources, heldOut.sources)
  })
})

describe('training', () => {
  test('takes the held-out accuracy from chance to over 90 %', () => {
    const classifier = Classifier.random(1)
    assert.ok(classifier.accuracy(heldOut) <= 0.25)
    train(classifier, training)
    const accuracy = classifier.accuracy(heldOut)
    assert.ok(accuracy > 0.9, `${accuracy}`)
    assert.equal(Classifier.fromSafetensors(classifier.toSafetensors()).accuracy(heldOut), accuracy, 'the same after a round trip')
  })

  test('gives the same weights for the same seed, and others for another', () => {
    const few: Digits = { ...training, count: 200 }
    const weights = (seed: number): Uint8Array => {
      const classifier = Classifier.random(1)
      train(classifier, few, { ...DEFAULTS, epochs: 2, seed })
      return classifier.toSafetensors()
    }
    assert.deepEqual(weights(7), weights(7))
    assert.notDeepEqual(weights(7), weights(8))
  })
})

describe('a classifier from safetensors', () => {
  test('is refused when the file holds another network', () => {
    const other = writeSafetensors({ tensors: new Map([['hidden.weight', { shape: [1], data: Float32Array.of(1) }]]), metadata: {} })
    assert.throws(() => Classifier.fromSafetensors(other), /expected a tensor "hidden.weight" of shape \[784, 64\], found \[1\]/)
  })

  test('is refused when a weight is not finite', () => {
    const classifier = Classifier.random(1)
    classifier.hiddenBias[3] = NaN
    assert.throws(() => Classifier.fromSafetensors(classifier.toSafetensors()), /"hidden.bias" holds values that are not finite/)
  })

  test('is refused when the file is cut off', () => {
    assert.throws(() => Classifier.fromSafetensors(Classifier.random(1).toSafetensors().subarray(0, -4)), SafetensorsError)
  })
})
