import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;

/** Posts a file a number of times, and prints a line for each response: CLIENT URL FILE COUNT NAME VALUE... */
class Clients {
  public static void main(String[] args) throws Exception {
    for (int n = 0; n < Integer.parseInt(args[3]); n++) {
      try {
        System.out.println(args[0].equals("java.net.http") ? withHttpClient(args) : withUrlConnection(args));
      } catch (Exception error) {
        System.out.println("error " + error.toString().replace('\n', ' '));
      }
    }
  }

  static String withUrlConnection(String[] args) throws Exception {
    HttpURLConnection connection = (HttpURLConnection) URI.create(args[1]).toURL().openConnection();
    connection.setRequestMethod("POST");
    connection.setDoOutput(true);
    for (int at = 4; at < args.length; at += 2) connection.setRequestProperty(args[at], args[at + 1]);
    try (OutputStream body = connection.getOutputStream()) {
      Files.copy(Path.of(args[2]), body);
    }
    int status = connection.getResponseCode();
    try (InputStream body = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
      return status + " " + (body == null ? "" : new String(body.readAllBytes()));
    }
  }

  static String withHttpClient(String[] args) throws Exception {
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(args[1]));
    for (int at = 4; at < args.length; at += 2) request.header(args[at], args[at + 1]);
    request.POST(HttpRequest.BodyPublishers.ofFile(Path.of(args[2])));
    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    HttpResponse<String> response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
    return response.statusCode() + " " + response.body();
  }
}
