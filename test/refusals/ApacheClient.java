import java.io.File;
import org.apache.hc.client5.http.classic.methods.HttpPost;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.ContentType;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.apache.hc.core5.http.io.entity.FileEntity;

/** Posts a file a number of times with Apache HttpClient 5, and prints a line for each response: CLIENT URL FILE COUNT NAME VALUE... */
class ApacheClient {
  public static void main(String[] args) throws Exception {
    for (int n = 0; n < Integer.parseInt(args[3]); n++) {
      // Without its retries, which would hide what went wrong
      try (CloseableHttpClient client = HttpClients.custom().disableAutomaticRetries().build()) {
        HttpPost request = new HttpPost(args[1]);
        for (int at = 4; at < args.length; at += 2) request.setHeader(args[at], args[at + 1]);
        request.setEntity(new FileEntity(new File(args[2]), ContentType.parse(request.getHeader("Content-Type").getValue())));
        String line = client.execute(request, response -> response.getCode() + " " + EntityUtils.toString(response.getEntity()));
        System.out.println(line);
      } catch (Exception error) {
        System.out.println("error " + error.toString().replace('\n', ' '));
      }
    }
  }
}
