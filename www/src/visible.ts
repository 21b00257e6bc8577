/** Whether nobody sees this page now, so that there is no need to look at anything for it. */
export const isHidden = () => globalThis.document?.hidden === true
