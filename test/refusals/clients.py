"""Posts a file a number of times, and prints a line of JSON for each response: CLIENT URL FILE HEADERS COUNT"""

import http.client
import json
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

client, url, path, headers, count = sys.argv[1:]
headers = json.loads(headers)


def with_http_client():
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=120)
    with open(path, "rb") as body:
        connection.request("POST", target.path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def with_urllib():
    with open(path, "rb") as body:
        request = urllib.request.Request(url, body.read(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def with_requests():
    import requests

    with open(path, "rb") as body:
        response = requests.post(url, data=body, headers=headers, timeout=120)
    return response.status_code, response.text


for _ in range(int(count)):
    try:
        status, body = {"http.client": with_http_client, "urllib": with_urllib, "requests": with_requests}[client]()
        print(json.dumps({"status": status, "body": body}), flush=True)
    except Exception as error:
        print(json.dumps({"error": repr(error)}), flush=True)
