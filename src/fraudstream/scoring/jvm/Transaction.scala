package fraudstream.history

import java.util.{HashMap => JavaMap, HexFormat}
import javax.crypto.Mac
import javax.crypto.spec.SecretKeySpec
import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.core.{JsonFactory, JsonParser, JsonProcessingException, JsonToken}
import com.fasterxml.jackson.core.json.JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS
import com.fasterxml.jackson.databind.JsonNode
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow
import org.apache.spark.unsafe.types.UTF8String

/** Reads a history's columns from a transaction's JSON text.
 *
 *  `readers` are expressions for amount and seconds, those of the model's features, for what is no number of JSON.
 */
private[history] final class Transaction(config: JsonNode, readers: Seq[InternalRow => InternalRow]) {
  import Transaction._
  private def names(list: JsonNode): Seq[String] = list.asScala.map(_.asText).toSeq
  private val entities = config.get("entities").asScala.map(each => names(each.get("columns"))).toArray
  private val (times, amounts) = (names(config.at("/time/columns")), names(config.at("/amount/columns")))
  private val currencies = names(config.get("currency"))
  private val columns = (entities.flatten ++ times ++ amounts ++ currencies).toSet
  /** Of `card.id` the object `card.`, whose member `id` is the column too. */
  private val objects = columns.flatMap(name => name.indices.filter(name(_) == '.').map(dot => name.take(dot + 1)))
  private val (own, nested) = (new JavaMap[String, Cell](), new JavaMap[String, Cell]())
  private val json = new JsonFactory().enable(ALLOW_NON_NUMERIC_NUMBERS.mappedFeature)

  /** Reads a transaction; false if the text is not one JSON object in UTF-8.
   *
   *  A parser of bytes would take UTF-16 and a byte order mark too, which are dead letters.
   */
  def read(text: UTF8String): Boolean = text.isValid && {
    val string = text.toString
    parse(json.createParser(string)) || parse(json.createParser(OddFloat.replaceAllIn(string, "$1null")))
  }

  private def parse(parser: JsonParser): Boolean = try {
    own.clear()
    nested.clear()
    parser.nextToken() == JsonToken.START_OBJECT && { readMembers(parser, ""); parser.nextToken() == null }
  } catch { case _: JsonProcessingException => false } finally parser.close()

  private def readMembers(parser: JsonParser, path: String): Unit = while (parser.nextToken() == JsonToken.FIELD_NAME) {
    val name = if (path.isEmpty) parser.currentName else path + parser.currentName
    val token = parser.nextToken()
    if (columns(name)) {
      val text = if (token.isScalarValue && token != JsonToken.VALUE_NULL) parser.getText else null
      (if (path.isEmpty) own else nested).put(name, Cell(text, token.isNumeric))
    }
    if (token == JsonToken.START_OBJECT && objects(name + ".")) readMembers(parser, name + ".")
    else if (token.isStructStart) parser.skipChildren()
  }

  /** A column's cells with a text, by its names; a member of the very name goes before that of an object. */
  private def cells(names: Seq[String]): Iterator[Cell] = names.iterator
    .map(name => own.getOrDefault(name, nested.get(name))).filter(cell => cell != null && cell.text != null)

  private def text(names: Seq[String]): String =
    cells(names).nextOption().map(_.text).filterNot(text => Missing(text.trim)).orNull

  /** The currency of the amount; null if it is not stated. */
  def currency: String = text(currencies)

  /** The value of an entity; null if there is none. */
  def entity(index: Int): String = Option(text(entities(index))).filter(_.length <= LongestId).orNull

  private def number(cell: Cell, reader: InternalRow => InternalRow): Double =
    if (cell.isNumber) cell.text.toDoubleOption.getOrElse(Double.NaN)
    else {
      val row = reader(new GenericInternalRow(Array[Any](UTF8String.fromString(cell.text))))
      if (row.isNullAt(0)) Double.NaN else row.getDouble(0)
    }

  /** The amount, with the precision of a float; NaN if it is missing, unreadable or beyond one. */
  def amount: Double = cells(amounts).map(number(_, readers(0)).toFloat)
    .find(number => math.abs(number) <= Float.MaxValue).getOrElse(Float.NaN).toDouble

  private val clock = config.at("/time/clock").asDouble(Double.NaN)
  /** The time in ms since 1970; `NoTime` if it is missing or unreadable. */
  def time: Long = cells(times).nextOption()
    .map(cell => number(cell, readers(1)) / (if (cell.isNumber) clock else 1.0))
    .filter(seconds => math.abs(seconds) <= LastSecond).fold(NoTime)(seconds => math.round(seconds * 1000.0))

  private val mac = Mac.getInstance("HmacSHA256")
  private val secret = HexFormat.of.parseHex(config.get("secret").asText)
  mac.init(new SecretKeySpec(secret.padTo(1, 0.toByte), "HmacSHA256"))

  /** `entity_id` of history/identity.py: the value, or its HMAC if it is a card number. */
  def entityId(value: String): String = if (value.length < 12) value
    else Iterator(Fraction.replaceFirstIn(value, ""), value).map(Separators.replaceAllIn(_, "")).find(isCard)
      .fold(value)(digits => "hmac:" + HexFormat.of.formatHex(mac.doFinal(digits.getBytes), 0, 16))

  private def isCard(digits: String): Boolean = {
    def checksum: Int = digits.reverse.zipWithIndex.map { case (digit, i) => (digit - '0') * (1 + i % 2) }
      .map(each => each / 10 + each % 10).sum
    Card.matches(digits) && checksum % 10 == 0
  }
}

private object Transaction {
  /** A value as it is written, null for none. */
  case class Cell(text: String, isNumber: Boolean)
  val NoTime: Long = Long.MinValue
  val LastSecond = 253402300799.0
  val LongestId = 1024
  val Missing = Set("", "?", "-", "--", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "None")
  private val OddFloat = "(?i)([:\\[,]\\s*)[+-]?(?:nan|inf|infinity)(?=\\s*[,}\\]])".r
  private val Card = "[0-9]{12,19}".r
  private val Fraction = "\\.0+\\z".r
  private val Separators =
    "[ ./_,\\t\\-\\x00\\u00a0\\u00ad\\u2000-\\u200d\\u2010-\\u2015\\u202f\\u2060\\u2212\\u3000\\ufeff\\uff0d]".r
}
