import io.debezium.data.Envelope;
import io.debezium.transforms.outbox.EventRouter;
import org.apache.kafka.connect.data.*;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.*;
import java.time.Instant;
import java.util.*;

public class Fixtures {
  static final String EVENT = "{\"id\":\"evt_1\",\"object\":\"event\",\"type\":\"charge.succeeded\",\"created\":1767225600,\"livemode\":false,\"data\":{\"object\":{\"id\":\"ch_1\",\"object\":\"charge\",\"created\":1767225600,\"amount\":1250,\"currency\":\"usd\",\"customer\":\"cus_ann\"}}}";
  static final String DATA = "{\"object\":{\"id\":\"ch_1\",\"object\":\"charge\",\"created\":1767225600,\"amount\":1250,\"currency\":\"usd\",\"customer\":\"cus_ann\"}}";

  static void out(String name, String line, SourceRecord r, Converter c) {
    byte[] v = c.fromConnectData(r.topic(), r.valueSchema(), r.value());
    StringBuilder h = new StringBuilder();
    for (Header each : r.headers()) {
      if (h.length() > 0) h.append(", ");
      h.append('"').append(each.key()).append("\": \"").append(each.value()).append('"');
    }
    System.out.println("{\"producer\": \"" + name + "\", \"line\": \"" + line + "\", \"headers\": {" + h + "}, \"value\": \"" + Base64.getEncoder().encodeToString(v) + "\"}");
  }

  static JsonConverter json(boolean schemas) {
    JsonConverter c = new JsonConverter();
    c.configure(Map.of("schemas.enable", schemas, "converter.type", "value"), false);
    return c;
  }

  static SourceRecord record(Schema s, Object v) {
    return new SourceRecord(Map.of(), Map.of(), "t", 0, null, null, s, v);
  }

  static Struct object(Schema s, Object created) {
    return new Struct(s).put("id", "ch_1").put("object", "charge").put("created", created).put("amount", 1250L).put("currency", "usd").put("customer", "cus_ann");
  }

  static Schema objectSchema(Schema time) {
    return SchemaBuilder.struct().name("charge").field("id", Schema.STRING_SCHEMA).field("object", Schema.STRING_SCHEMA)
      .field("created", time).field("amount", Schema.INT64_SCHEMA).field("currency", Schema.STRING_SCHEMA)
      .field("customer", Schema.OPTIONAL_STRING_SCHEMA).build();
  }

  static SourceRecord struct(Schema time, Object created) {
    Schema o = objectSchema(time);
    Schema d = SchemaBuilder.struct().name("data").field("object", o).build();
    Schema e = SchemaBuilder.struct().name("event").field("id", Schema.STRING_SCHEMA).field("type", Schema.STRING_SCHEMA)
      .field("created", time).field("data", d).build();
    Struct v = new Struct(e).put("id", "evt_1").put("type", "charge.succeeded").put("created", created)
      .put("data", new Struct(d).put("object", object(o, created)));
    return record(e, v);
  }

  static SourceRecord change(Schema row, Struct after) {
    Schema source = SchemaBuilder.struct().name("io.debezium.connector.postgresql.Source").field("connector", Schema.STRING_SCHEMA).field("db", Schema.STRING_SCHEMA).field("table", Schema.STRING_SCHEMA).build();
    Envelope envelope = Envelope.defineSchema().withName("shop.public.events.Envelope").withRecord(row).withSource(source).build();
    Struct s = new Struct(source).put("connector", "postgresql").put("db", "shop").put("table", "events");
    return record(envelope.schema(), envelope.create(after, s, Instant.ofEpochMilli(1767225601000L)));
  }

  static SourceRecord routed(boolean expand) {
    Schema row = SchemaBuilder.struct().name("shop.public.outbox.Value").field("id", Schema.STRING_SCHEMA)
      .field("aggregatetype", Schema.STRING_SCHEMA).field("aggregateid", Schema.STRING_SCHEMA).field("type", Schema.STRING_SCHEMA)
      .field("payload", SchemaBuilder.string().name("io.debezium.data.Json").optional().build()).optional().build();
    Struct after = new Struct(row).put("id", "6a9b1f0e-0e0c-4ab6-8d36-4b1a2f0f7a11").put("aggregatetype", "payment").put("aggregateid", "ch_1")
      .put("type", "charge.succeeded").put("payload", EVENT);
    EventRouter<SourceRecord> router = new EventRouter<>();
    Map<String, Object> config = new HashMap<>();
    config.put("table.fields.additional.placement", "type:header:eventType");
    config.put("table.expand.json.payload", expand);
    router.configure(config);
    SourceRecord found = router.apply(change(row, after));
    router.close();
    return found;
  }

  public static void main(String[] a) {
    Schema seconds = Schema.INT64_SCHEMA;
    out("Kafka Connect, JsonConverter with schemas, a struct", "envelope: connect", struct(seconds, 1767225600L), json(true));
    out("Kafka Connect, JsonConverter without schemas, a struct", "envelope: stripe", struct(seconds, 1767225600L), json(false));
    out("Kafka Connect, JsonConverter with schemas, a string", "envelope: connect", record(Schema.STRING_SCHEMA, EVENT), json(true));
    out("Kafka Connect, JsonConverter with schemas, bytes", "envelope: connect", record(Schema.BYTES_SCHEMA, EVENT.getBytes()), json(true));
    out("Kafka Connect, StringConverter", "envelope: stripe", record(Schema.STRING_SCHEMA, EVENT), new StringConverter());
    out("Kafka Connect, JsonConverter with schemas, times as Timestamp", "envelope: connect, lenient: true", struct(Timestamp.SCHEMA, new java.util.Date(1767225600000L)), json(true));
    Schema row = SchemaBuilder.struct().name("shop.public.events.Value").field("id", Schema.STRING_SCHEMA).field("type", Schema.STRING_SCHEMA)
      .field("created", Schema.INT64_SCHEMA).field("data", SchemaBuilder.string().name("io.debezium.data.Json").optional().build()).optional().build();
    Struct after = new Struct(row).put("id", "evt_1").put("type", "charge.succeeded").put("created", 1767225600L).put("data", DATA);
    out("Debezium change, JsonConverter with schemas", "envelope: debezium", change(row, after), json(true));
    out("Debezium change, JsonConverter without schemas", "envelope: debezium", change(row, after), json(false));
    for (boolean expand : new boolean[] {false, true}) {
      String how = expand ? ", payload expanded" : "";
      out("Debezium outbox router, JsonConverter with schemas" + how, "envelope: debezium-outbox", routed(expand), json(true));
      out("Debezium outbox router, JsonConverter without schemas" + how, "envelope: debezium-outbox", routed(expand), json(false));
    }
    out("Debezium outbox router, StringConverter", "envelope: debezium-outbox", routed(false), new StringConverter());
  }
}
