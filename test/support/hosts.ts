/** What tests that write their requests by hand call the server. Other clients call it by its address, as users do. */
export const ALLOWED_HOSTS = 'test, x, a, slow, fuzz'
