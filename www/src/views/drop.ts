/** Listeners of something that files can be dropped on. While one hovers over it, it has `data-over`. */
export function dropTarget(take: (files: File[]) => void) {
  const mark = (event: DragEvent, over: boolean) => (event.currentTarget as Element).toggleAttribute('data-over', over)
  return {
    over(event: DragEvent): void {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      event.dataTransfer.dropEffect = 'copy'
      mark(event, true)
    },
    leave: (event: DragEvent): void => void mark(event, false),
    drop(event: DragEvent): void {
      event.preventDefault()
      event.stopPropagation()
      mark(event, false)
      take([...(event.dataTransfer?.files ?? [])])
    },
  }
}
