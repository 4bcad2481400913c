import { needsKey, sentenceOf } from './api.ts'
import { showThemeButton } from './appearance.ts'
import { find } from './dom.ts'
import { Grid } from './grid.ts'
import { askForKey } from './key.ts'
import { Library } from './library.ts'
import { onFiles } from './pick.ts'
import { Reader } from './reader.ts'
import { settings } from './settings.ts'
import { Tray } from './tray.ts'
import { size } from './words.ts'

showThemeButton()
find('.limit').textContent = size(settings.maxFileSize)

const library = new Library()
library.addEventListener('change', showState)
const grid = new Grid(library, (story, anchor) => reader.openMenu(story, anchor))
const reader = new Reader(library, grid)
const tray = new Tray(
  (story) => void library.add(story),
  (story) => reader.open(`#${story.id}`),
)
onFiles((files) => void tray.upload(files))
void reader.follow()

/** Shows a notice if there is no story, or if stories can't be read. */
function showState(): void {
  const { stories, isComplete, trouble } = library
  find('#empty').hidden = !isComplete || stories.length > 0
  const notice = find('#trouble')
  notice.hidden = trouble === undefined
  find('h2', notice).textContent = stories.length === 0 ? 'The stories can’t be shown' : 'No more stories can be shown'
  find('.detail', notice).textContent = trouble ? sentenceOf(trouble) : ''
  find('button', notice).textContent = needsKey(trouble) ? 'Enter an API key' : 'Try again'
}

find('#trouble button').addEventListener('click', async () => {
  const { trouble } = library
  if (needsKey(trouble) && !(await askForKey(sentenceOf(trouble)))) return
  await library.tryAgain()
  // The button may have disappeared and appeared again
  find(library.trouble ? '#trouble button' : '#stories').focus({ preventScroll: true })
})

// For theme.ts: from here on the page itself shows errors
dispatchEvent(new Event('started'))
