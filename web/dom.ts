/** Returns the first element that matches a selector. */
export function find<E extends Element = HTMLElement>(selector: string, within: ParentNode = document): E {
  const found = within.querySelector<E>(selector)
  if (!found) throw new Error(`The page has no ${selector}`)
  return found
}

/** Returns a copy of the element in a template. */
export function copyOf(template: string): HTMLElement {
  const { content } = find<HTMLTemplateElement>(`template#${template}`)
  return document.importNode(content, true).firstElementChild as HTMLElement
}

const SVG = 'http://www.w3.org/2000/svg'

/** Returns an icon of the sprite in the page. */
export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  svg.classList.add('icon')
  svg.append(document.createElementNS(SVG, 'use'))
  find('use', svg).setAttribute('href', `#i-${name}`)
  return svg
}

export function button(text: string, action: () => void, look = ''): HTMLButtonElement {
  const made = document.createElement('button')
  made.type = 'button'
  made.className = `button ${look}`.trimEnd()
  made.textContent = text
  made.addEventListener('click', action)
  return made
}
