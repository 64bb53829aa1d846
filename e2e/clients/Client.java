import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A program that calls WeChat by its own names, with both of Java's own clients. */
class Client {
    static final String API = "https://api.weixin.qq.com/cgi-bin";

    public static void main(String[] args) throws Exception {
        String token = field("access_token", read(API + "/token?grant_type=client_credential&appid=" + args[0]
                + "&secret=" + args[1]));
        String ticket = field("ticket", create(token));
        HttpURLConnection picture = (HttpURLConnection) new URL("https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket="
                + URLEncoder.encode(ticket, StandardCharsets.UTF_8)).openConnection();
        String outside = "reached";
        try {
            read("https://example.com/");
        } catch (IOException e) {
            outside = "refused";
        }
        System.out.printf("{\"ticket\":\"%s\",\"type\":\"%s\",\"refused\":%s,\"outside\":\"%s\"}%n", ticket,
                picture.getContentType(), field("errcode", create("97_" + "x".repeat(133))), outside);
    }

    static String create(String token) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(API + "/qrcode/create?access_token=" + token))
                .POST(HttpRequest.BodyPublishers.ofString("{\"expire_seconds\":1800,\"action_name\":\"QR_STR_SCENE\","
                        + "\"action_info\":{\"scene\":{\"scene_str\":\"shop-7\"}}}"))
                .build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
    }

    static String read(String url) throws IOException {
        return new String(new URL(url).openStream().readAllBytes(), StandardCharsets.UTF_8);
    }

    static String field(String name, String json) {
        Matcher m = Pattern.compile("\"" + name + "\":\"?([^\",}]+)").matcher(json);
        if (!m.find()) {
            throw new IllegalStateException(json);
        }
        return m.group(1);
    }
}
