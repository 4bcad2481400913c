// ipx with sharp, as its documentation shows it, on a folder: https://github.com/unjs/ipx. It makes each response again.
import { createServer } from 'node:http'
import { createIPX, createIPXNodeServer, ipxFSStorage } from 'ipx'

const ipx = createIPX({ storage: ipxFSStorage({ dir: process.env.DATA_DIR }) })
createServer(createIPXNodeServer(ipx)).listen(process.env.PORT, '127.0.0.1')
