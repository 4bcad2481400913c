// For `node --import`: a process that a test starts is as it would be without the runner, which has its hooks loaded into each one
// and so doubles the time that it takes to start. They are for tap's own coverage, which is not used.
import processOnSpawn from 'process-on-spawn'

processOnSpawn.removeAllListeners()
delete process.env.NODE_OPTIONS
