/**
 * One line of the table.
 *
 * @typedef {object} Row
 * @property {string} id unique in its scenario
 * @property {string} label
 * @property {string} unit
 * @property {'lower' | 'higher'} better
 */

/**
 * @param {string} id
 * @param {string} label
 * @param {string} unit
 * @param {'lower' | 'higher'} [better]
 * @returns {Row}
 */
export const row = (id, label, unit, better = 'lower') => ({ id, label, unit, better })
