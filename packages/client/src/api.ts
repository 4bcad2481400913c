// Made by `npm run generate` from docs/openapi.json, by openapi-typescript

export interface paths {
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document */
        get: operations["describe"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/livez": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Check that the process runs */
        get: operations["live"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Check that the server and its store can be used */
        get: operations["ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get metrics for Prometheus
         * @description Needs the scope `metrics`.
         */
        get: operations["getMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the images of every story
         * @description Needs the scope `read`.
         */
        get: operations["listImages"];
        put?: never;
        post?: never;
        /**
         * Delete every image of every story
         * @description Needs the scope `delete-all`.
         */
        delete: operations["deleteAllStories"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images/story-ids": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the id of every story
         * @description Needs the scope `read`.
         */
        get: operations["listStoryIds"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images/{story_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the images of one story
         * @description Needs the scope `read`.
         */
        get: operations["listStory"];
        put?: never;
        post?: never;
        /**
         * Delete every image of a story
         * @description Needs the scope `delete`.
         */
        delete: operations["deleteStory"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images/upload": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Upload the images of a new story
         * @description Needs the scope `write`, or a ticket.
         */
        post: operations["uploadStory"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images/{story_id}/restore": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Restore a deleted story
         * @description Needs the scope `delete`.
         */
        post: operations["restoreStory"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/images/stories/{story_id}/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get an image
         * @description Needs the scope `read`, or a signature.
         */
        get: operations["getImage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        /**
         * Get the headers of an image
         * @description Needs the scope `read`, or a signature.
         */
        head: operations["headImage"];
        patch?: never;
        trace?: never;
    };
    "/api/v1/tickets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Make an upload URL that needs no key
         * @description Needs the scope `write`.
         */
        post: operations["issueTicket"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/signed-urls": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Make URLs of private images that need no key
         * @description Needs the scope `read`.
         */
        post: operations["signUrls"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Failure: {
            detail: string;
        };
        Health: {
            status: string;
        };
        Image: {
            /** @description Number of the image in its story, starting at "1" */
            id: string;
            /**
             * Format: uuid
             * @description A UUID in lower case
             * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
             */
            story_id: string;
            /** @description Path of the image, relative to the root of the server */
            path: string;
            /**
             * Format: date-time
             * @description UTC, to the second
             */
            created_at: string;
        };
        Deleted: {
            success: boolean;
            message: string;
        };
        Story: {
            /**
             * Format: uuid
             * @description A UUID in lower case
             * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
             */
            story_id: string;
            image_paths: string[];
            image_count: number;
        };
        Restored: {
            success: boolean;
            message: string;
        };
        Ticket: {
            /** @description URL for the upload, relative to the root of the server */
            upload_url: string;
            /**
             * Format: date-time
             * @description UTC, to the second; the upload must begin before
             */
            expires_at: string;
            /** @description Most files */
            files: number;
            /** @description Most bytes of all files in total */
            bytes: number;
        };
        SignedUrls: {
            /** @description In the order of the paths; below `PUBLIC_IMAGE_URL`, or relative to the root of the server without it */
            urls: string[];
            /**
             * Format: date-time
             * @description UTC, to the second
             */
            expires_at: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: {
        /** @description Id of the request in the log */
        "X-Request-Id": string;
        /** @description Browsers do not guess the media type */
        "X-Content-Type-Options": string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    describe: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Caches revalidate the document */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "openapi": "3.1.0",
                     *       "info": {
                     *         "title": "story-images"
                     *       },
                     *       "paths": {}
                     *     }
                     */
                    "application/json": {
                        openapi: string;
                    } & {
                        [key: string]: unknown;
                    };
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    live: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "alive"
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    ready: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ready"
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    getMetrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The text format of Prometheus, version 0.0.4 */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /** @example # TYPE process_start_time_seconds gauge */
                    "text/plain": string;
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    listImages: {
        parameters: {
            query?: {
                /**
                 * @description a whole number of stories from 1 to 1000
                 * @example 100
                 */
                limit?: number;
                /**
                 * @description taken unchanged from the Link header of an earlier response
                 * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
                 */
                cursor?: string;
                /**
                 * @description "newest", or left out for the order of ids
                 * @example newest
                 */
                order?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The list, or a page of it */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description URL of the next page, with rel="next"; not sent with the last page (RFC 8288) */
                    Link?: string;
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": "1",
                     *         "story_id": "01a205ad-87f4-77cd-a8d8-f60e2cbf53b1",
                     *         "path": "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/1.jpg",
                     *         "created_at": "2026-11-22T23:53:08Z"
                     *       },
                     *       {
                     *         "id": "2",
                     *         "story_id": "01a205ad-87f4-77cd-a8d8-f60e2cbf53b1",
                     *         "path": "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/2.png",
                     *         "created_at": "2026-11-22T23:53:08Z"
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Image"][];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    deleteAllStories: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Until when what was deleted can be restored, at the latest; `unknown` if the store does not say. Not sent if the store did not keep it, or if the server may not list its versions */
                    "Restorable-Until"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true,
                     *       "message": "All images deleted successfully"
                     *     }
                     */
                    "application/json": components["schemas"]["Deleted"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    listStoryIds: {
        parameters: {
            query?: {
                /**
                 * @description a whole number of stories from 1 to 1000
                 * @example 100
                 */
                limit?: number;
                /**
                 * @description taken unchanged from the Link header of an earlier response
                 * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
                 */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The list, or a page of it */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description URL of the next page, with rel="next"; not sent with the last page (RFC 8288) */
                    Link?: string;
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       "01a205ad-87f4-77cd-a8d8-f60e2cbf53b1",
                     *       "2acfa514-2915-4a9d-8a3a-338d52bd0d9e"
                     *     ]
                     */
                    "application/json": string[];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    listStory: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description A UUID in lower case
                 * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
                 */
                story_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The images of the story */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example [
                     *       {
                     *         "id": "1",
                     *         "story_id": "01a205ad-87f4-77cd-a8d8-f60e2cbf53b1",
                     *         "path": "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/1.jpg",
                     *         "created_at": "2026-11-22T23:53:08Z"
                     *       },
                     *       {
                     *         "id": "2",
                     *         "story_id": "01a205ad-87f4-77cd-a8d8-f60e2cbf53b1",
                     *         "path": "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/2.png",
                     *         "created_at": "2026-11-22T23:53:08Z"
                     *       }
                     *     ]
                     */
                    "application/json": components["schemas"]["Image"][];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description There is no such story or image */
            404: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    deleteStory: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description A UUID in lower case
                 * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
                 */
                story_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Until when what was deleted can be restored, at the latest; `unknown` if the store does not say. Not sent if the store did not keep it, or if the server may not list its versions */
                    "Restorable-Until"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true,
                     *       "message": "Images deleted successfully"
                     *     }
                     */
                    "application/json": components["schemas"]["Deleted"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description There is no such story or image */
            404: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    uploadStory: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description Uploads with the same key make one story; use a new key for each story
                 * @example 8e03978e-40d5-43e8-bc93-6894a57f9324
                 */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        /** @description Text fields of up to 1 KiB with other names are ignored */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "files": [
                 *         "(the bytes of the image)",
                 *         "(the bytes of the image)"
                 *       ]
                 *     }
                 */
                "multipart/form-data": {
                    /** @description The images, one part each. They are stored without the place where they were taken, or without what else STRIP_METADATA says */
                    files: string[];
                };
            };
        };
        responses: {
            /** @description The story is stored and listed */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description An earlier upload made this story */
                    "Idempotent-Replayed"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "story_id": "01a205ad-87f4-77cd-a8d8-f60e2cbf53b1",
                     *       "image_paths": [
                     *         "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/1.jpg",
                     *         "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/2.png"
                     *       ],
                     *       "image_count": 2
                     *     }
                     */
                    "application/json": components["schemas"]["Story"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body stalled or took too long */
            408: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The first upload with this Idempotency-Key is still running */
            409: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body, or a part of it, exceeds its limit */
            413: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body is not of the right type, or a file is not one of the image types */
            415: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The image has no variants, or the Idempotency-Key was used with other images */
            422: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store is full */
            507: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    restoreStory: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description A UUID in lower case
                 * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
                 */
                story_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Success */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true,
                     *       "message": "Images restored successfully"
                     *     }
                     */
                    "application/json": components["schemas"]["Restored"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description There is no story with this id, and no deleted one that can be restored */
            404: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store is full */
            507: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    getImage: {
        parameters: {
            query?: {
                /**
                 * @description Returns a variant of the image, at most this many pixels wide: 160, 320, 640, 1280, 1920 without `h`
                 * @example 320
                 */
                w?: 160 | 320 | 640 | 1280 | 1920;
                /**
                 * @description Crops the variant to `w` x `h` pixels: 320x240, 640x480
                 * @example 240
                 */
                h?: 240 | 480;
                /**
                 * @description Only with `w`. `auto` is AVIF or WebP if `Accept` names it, and otherwise JPEG, PNG or GIF
                 * @example webp
                 */
                format?: "auto" | "jpeg" | "webp" | "avif";
            };
            header?: {
                /**
                 * @description One range of bytes
                 * @example bytes=0-99
                 */
                range?: string;
                /**
                 * @description ETag or date of the image that the range belongs to
                 * @example "0b3f5a8c11e94c63b8a1f3b2cbb0a1de"
                 */
                "if-range"?: string;
                /**
                 * @description ETags, one of which the image must have
                 * @example "0b3f5a8c11e94c63b8a1f3b2cbb0a1de"
                 */
                "if-match"?: string;
                /**
                 * @description Date after which the image must not have changed
                 * @example Sun, 22 Nov 2026 23:53:08 GMT
                 */
                "if-unmodified-since"?: string;
                /**
                 * @description ETags of the client's copies
                 * @example "0b3f5a8c11e94c63b8a1f3b2cbb0a1de"
                 */
                "if-none-match"?: string;
                /**
                 * @description Date of the client's copy
                 * @example Sun, 22 Nov 2026 23:53:08 GMT
                 */
                "if-modified-since"?: string;
            };
            path: {
                /**
                 * @description A UUID in lower case
                 * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
                 */
                story_id: string;
                /**
                 * @description Number and type of the image
                 * @example 1.jpg
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The image */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Identifies these bytes */
                    ETag?: string;
                    /** @description When the image was stored */
                    "Last-Modified"?: string;
                    /** @description How long the image may be cached */
                    "Cache-Control"?: string;
                    /** @description A UUID in lower case */
                    "Cache-Tag"?: string;
                    /** @description A UUID in lower case */
                    "x-amz-meta-cache-tag"?: string;
                    /** @description For a variant whose format is `auto` */
                    Vary?: string;
                    /** @description Pages of any origin may read the pixels */
                    "Access-Control-Allow-Origin"?: string;
                    /** @description Headers that they may read */
                    "Access-Control-Expose-Headers"?: string;
                    /** @description Isolated pages may embed the image */
                    "Cross-Origin-Resource-Policy"?: string;
                    /** @description An image that is opened as a page runs no script */
                    "Content-Security-Policy"?: string;
                    /** @description Ranges of bytes are supported */
                    "Accept-Ranges"?: string;
                    /** @description Width in pixels as displayed; missing for an imported image */
                    "X-Image-Width"?: string;
                    /** @description Height in pixels as displayed; missing for an imported image */
                    "X-Image-Height"?: string;
                    /** @description Bytes of the body */
                    "Content-Length"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /** @example (the bytes of the image) */
                    "image/jpeg": unknown;
                    /** @example (the bytes of the image) */
                    "image/png": unknown;
                    /** @example (the bytes of the image) */
                    "image/gif": unknown;
                    /** @example (the bytes of the image) */
                    "image/webp": unknown;
                    /** @example (the bytes of the image) */
                    "image/avif": unknown;
                };
            };
            /** @description The range of the image */
            206: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Identifies these bytes */
                    ETag?: string;
                    /** @description When the image was stored */
                    "Last-Modified"?: string;
                    /** @description How long the image may be cached */
                    "Cache-Control"?: string;
                    /** @description A UUID in lower case */
                    "Cache-Tag"?: string;
                    /** @description A UUID in lower case */
                    "x-amz-meta-cache-tag"?: string;
                    /** @description For a variant whose format is `auto` */
                    Vary?: string;
                    /** @description Pages of any origin may read the pixels */
                    "Access-Control-Allow-Origin"?: string;
                    /** @description Headers that they may read */
                    "Access-Control-Expose-Headers"?: string;
                    /** @description Isolated pages may embed the image */
                    "Cross-Origin-Resource-Policy"?: string;
                    /** @description An image that is opened as a page runs no script */
                    "Content-Security-Policy"?: string;
                    /** @description Ranges of bytes are supported */
                    "Accept-Ranges"?: string;
                    /** @description Width in pixels as displayed; missing for an imported image */
                    "X-Image-Width"?: string;
                    /** @description Height in pixels as displayed; missing for an imported image */
                    "X-Image-Height"?: string;
                    /** @description Bytes of the body */
                    "Content-Length"?: string;
                    /** @description The range and the size of the image */
                    "Content-Range"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /** @example (the bytes of the image) */
                    "image/jpeg": unknown;
                    /** @example (the bytes of the image) */
                    "image/png": unknown;
                    /** @example (the bytes of the image) */
                    "image/gif": unknown;
                    /** @example (the bytes of the image) */
                    "image/webp": unknown;
                    /** @example (the bytes of the image) */
                    "image/avif": unknown;
                };
            };
            /** @description The client's copy is current */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Identifies these bytes */
                    ETag?: string;
                    /** @description When the image was stored */
                    "Last-Modified"?: string;
                    /** @description How long the image may be cached */
                    "Cache-Control"?: string;
                    /** @description A UUID in lower case */
                    "Cache-Tag"?: string;
                    /** @description A UUID in lower case */
                    "x-amz-meta-cache-tag"?: string;
                    /** @description For a variant whose format is `auto` */
                    Vary?: string;
                    /** @description Pages of any origin may read the pixels */
                    "Access-Control-Allow-Origin"?: string;
                    /** @description Headers that they may read */
                    "Access-Control-Expose-Headers"?: string;
                    /** @description Isolated pages may embed the image */
                    "Cross-Origin-Resource-Policy"?: string;
                    /** @description An image that is opened as a page runs no script */
                    "Content-Security-Policy"?: string;
                    /** @description Ranges of bytes are supported */
                    "Accept-Ranges"?: string;
                    /** @description Width in pixels as displayed; missing for an imported image */
                    "X-Image-Width"?: string;
                    /** @description Height in pixels as displayed; missing for an imported image */
                    "X-Image-Height"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description There is no such story or image */
            404: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The image is not the one that If-Match or If-Unmodified-Since asks for */
            412: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The range is outside the image; Content-Range has the size of the image */
            416: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Size of the image in bytes */
                    "Content-Range"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The image has no variants, or the Idempotency-Key was used with other images */
            422: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    headImage: {
        parameters: {
            query?: {
                /**
                 * @description Returns a variant of the image, at most this many pixels wide: 160, 320, 640, 1280, 1920 without `h`
                 * @example 320
                 */
                w?: 160 | 320 | 640 | 1280 | 1920;
                /**
                 * @description Crops the variant to `w` x `h` pixels: 320x240, 640x480
                 * @example 240
                 */
                h?: 240 | 480;
                /**
                 * @description Only with `w`. `auto` is AVIF or WebP if `Accept` names it, and otherwise JPEG, PNG or GIF
                 * @example webp
                 */
                format?: "auto" | "jpeg" | "webp" | "avif";
            };
            header?: {
                /**
                 * @description ETags, one of which the image must have
                 * @example "0b3f5a8c11e94c63b8a1f3b2cbb0a1de"
                 */
                "if-match"?: string;
                /**
                 * @description Date after which the image must not have changed
                 * @example Sun, 22 Nov 2026 23:53:08 GMT
                 */
                "if-unmodified-since"?: string;
                /**
                 * @description ETags of the client's copies
                 * @example "0b3f5a8c11e94c63b8a1f3b2cbb0a1de"
                 */
                "if-none-match"?: string;
                /**
                 * @description Date of the client's copy
                 * @example Sun, 22 Nov 2026 23:53:08 GMT
                 */
                "if-modified-since"?: string;
            };
            path: {
                /**
                 * @description A UUID in lower case
                 * @example 01a205ad-87f4-77cd-a8d8-f60e2cbf53b1
                 */
                story_id: string;
                /**
                 * @description Number and type of the image
                 * @example 1.jpg
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The headers of the image */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Identifies these bytes */
                    ETag?: string;
                    /** @description When the image was stored */
                    "Last-Modified"?: string;
                    /** @description How long the image may be cached */
                    "Cache-Control"?: string;
                    /** @description A UUID in lower case */
                    "Cache-Tag"?: string;
                    /** @description A UUID in lower case */
                    "x-amz-meta-cache-tag"?: string;
                    /** @description For a variant whose format is `auto` */
                    Vary?: string;
                    /** @description Pages of any origin may read the pixels */
                    "Access-Control-Allow-Origin"?: string;
                    /** @description Headers that they may read */
                    "Access-Control-Expose-Headers"?: string;
                    /** @description Isolated pages may embed the image */
                    "Cross-Origin-Resource-Policy"?: string;
                    /** @description An image that is opened as a page runs no script */
                    "Content-Security-Policy"?: string;
                    /** @description Ranges of bytes are supported */
                    "Accept-Ranges"?: string;
                    /** @description Width in pixels as displayed; missing for an imported image */
                    "X-Image-Width"?: string;
                    /** @description Height in pixels as displayed; missing for an imported image */
                    "X-Image-Height"?: string;
                    /** @description Bytes of the body */
                    "Content-Length"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The client's copy is current */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description Identifies these bytes */
                    ETag?: string;
                    /** @description When the image was stored */
                    "Last-Modified"?: string;
                    /** @description How long the image may be cached */
                    "Cache-Control"?: string;
                    /** @description A UUID in lower case */
                    "Cache-Tag"?: string;
                    /** @description A UUID in lower case */
                    "x-amz-meta-cache-tag"?: string;
                    /** @description For a variant whose format is `auto` */
                    Vary?: string;
                    /** @description Pages of any origin may read the pixels */
                    "Access-Control-Allow-Origin"?: string;
                    /** @description Headers that they may read */
                    "Access-Control-Expose-Headers"?: string;
                    /** @description Isolated pages may embed the image */
                    "Cross-Origin-Resource-Policy"?: string;
                    /** @description An image that is opened as a page runs no script */
                    "Content-Security-Policy"?: string;
                    /** @description Ranges of bytes are supported */
                    "Accept-Ranges"?: string;
                    /** @description Width in pixels as displayed; missing for an imported image */
                    "X-Image-Width"?: string;
                    /** @description Height in pixels as displayed; missing for an imported image */
                    "X-Image-Height"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description There is no such story or image */
            404: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The image is not the one that If-Match or If-Unmodified-Since asks for */
            412: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The image has no variants, or the Idempotency-Key was used with other images */
            422: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    issueTicket: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "files": 1,
                 *       "bytes": 1048576,
                 *       "expires_in": 900
                 *     }
                 */
                "application/json": {
                    /**
                     * @description a whole number of files from 1 to 100
                     * @default 100
                     */
                    files?: number;
                    /**
                     * @description a whole number of bytes from 1 to 5242880000
                     * @default 5242880000
                     */
                    bytes?: number;
                    /**
                     * @description a whole number of seconds from 1 to 86400
                     * @default 900
                     */
                    expires_in?: number;
                };
            };
        };
        responses: {
            /** @description Success */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "upload_url": "/api/v1/images/upload?ticket=v1.eyJub25jZSI6Ik1C.dGhlIHNpZ25hdHVyZQ",
                     *       "expires_at": "2026-11-23T00:08:08Z",
                     *       "files": 5,
                     *       "bytes": 10485760
                     *     }
                     */
                    "application/json": components["schemas"]["Ticket"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body stalled or took too long */
            408: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body, or a part of it, exceeds its limit */
            413: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body is not of the right type, or a file is not one of the image types */
            415: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    signUrls: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "paths": [
                 *         "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/1.jpg",
                 *         "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/2.png"
                 *       ],
                 *       "expires_in": 3600
                 *     }
                 */
                "application/json": {
                    /** @description a list of 1 to 1000 paths of images, as lists and uploads return them */
                    paths: string[];
                    /**
                     * @description a whole number of seconds from 1 to 604800
                     * @default 3600
                     */
                    expires_in?: number;
                };
            };
        };
        responses: {
            /** @description Success */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "urls": [
                     *         "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/1.jpg?expires=1795305600&signature=dGhlIHNpZ25hdHVyZQ",
                     *         "/images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/2.png?expires=1795305600&signature=dGhlIHNpZ25hdHVyZQ"
                     *       ],
                     *       "expires_at": "2026-11-22T00:00:00Z"
                     *     }
                     */
                    "application/json": components["schemas"]["SignedUrls"];
                };
            };
            /** @description The request is not as described, or is not valid HTTP */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The API key is missing or wrong */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The key, the ticket or the signature does not allow this */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description How to send a key (RFC 6750) */
                    "WWW-Authenticate"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body stalled or took too long */
            408: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body, or a part of it, exceeds its limit */
            413: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The body is not of the right type, or a file is not one of the image types */
            415: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description An expectation other than 100-continue */
            417: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description Too many requests */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The headers of the request are too large */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The server or its store failed */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
            /** @description The store cannot be reached, or the server is busy, or the outcome is unknown */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    "X-Content-Type-Options": components["headers"]["X-Content-Type-Options"];
                    /** @description No cache stores the response */
                    "Cache-Control"?: string;
                    /** @description Seconds before the next try */
                    "Retry-After"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
}
