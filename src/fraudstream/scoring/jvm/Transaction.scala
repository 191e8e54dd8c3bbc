package fraudstream.history

import java.nio.charset.StandardCharsets.UTF_8
import java.time.ZoneOffset
import java.util.{Arrays, HashMap => JavaMap}
import java.util.regex.Pattern
import javax.crypto.Mac
import javax.crypto.spec.SecretKeySpec
import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.core.{JsonFactory, JsonParser, JsonProcessingException, JsonToken}
import com.fasterxml.jackson.core.json.JsonReadFeature
import com.fasterxml.jackson.databind.JsonNode
import org.apache.spark.sql.catalyst.util.DateTimeUtils
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.types.UTF8String

/** Reads the columns of a history from a transaction's JSON text, as `model/features/reading.py` reads features. */
private[history] final class Transaction(config: JsonNode) {
  /** A step of a path into an object; `slot` is where its value goes, -1 if it is only passed through. */
  private final class Node { val children = new JavaMap[String, Node](); var slot: Int = -1 }

  private val root = new Node
  private var slots = 0

  private def slotAt(path: Seq[String]): Int = {
    val node = path.foldLeft(root)((node, name) => node.children.computeIfAbsent(name, _ => new Node))
    if (node.slot < 0) { node.slot = slots; slots += 1 }
    node.slot
  }

  /** A column under the names to try: for each its slot, and that of the same name with dots as a path. */
  private def column(names: JsonNode): Array[(Int, Int)] = names.asScala.map(_.asText).map { name =>
    (slotAt(Seq(name)), if (name.contains('.')) slotAt(name.split("\\.", -1).toSeq) else -1)
  }.toArray

  private val entities = config.get("entities").asScala.map(each => column(each.get("columns"))).toArray
  private val time = column(config.at("/time/columns"))
  private val amount = column(config.at("/amount/columns"))
  private val currency = column(config.get("currency"))
  private val isPresent, isNumber = new Array[Boolean](slots)
  private val texts = new Array[String](slots)

  private val json = new JsonFactory().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS.mappedFeature)

  /** Reads a transaction; false if the text is not one JSON object in UTF-8. */
  def read(text: UTF8String): Boolean = text.isValid && {
    val bytes = text.getBaseObject match {
      case bytes: Array[Byte] => json.createParser(bytes, (text.getBaseOffset - Platform.BYTE_ARRAY_OFFSET).toInt, text.numBytes)
      case _ => json.createParser(text.getBytes)
    }
    try parse(bytes)
    catch {
      case _: JsonProcessingException =>
        try parse(json.createParser(Transaction.OddFloat.matcher(text.toString).replaceAll("$1null")))
        catch { case _: JsonProcessingException => false }
    }
  }

  private def parse(parser: JsonParser): Boolean = try {
    Arrays.fill(isPresent, false); Arrays.fill(isNumber, false)
    Arrays.fill(texts.asInstanceOf[Array[AnyRef]], null)
    parser.nextToken() == JsonToken.START_OBJECT && { walk(parser, root); parser.nextToken() == null }
  } finally parser.close()

  private def walk(parser: JsonParser, node: Node): Unit = {
    var name = parser.nextFieldName()
    while (name != null) {
      val child = node.children.get(name)
      val token = parser.nextToken()
      if (child != null && child.slot >= 0) {
        isPresent(child.slot) = true
        isNumber(child.slot) = token.isNumeric
        texts(child.slot) = if (token.isScalarValue && token != JsonToken.VALUE_NULL) parser.getText else null
      }
      if (token == JsonToken.START_OBJECT && child != null && !child.children.isEmpty) walk(parser, child)
      else if (token.isStructStart) parser.skipChildren()
      name = parser.nextFieldName()
    }
  }

  /** The slot of the value under the given name: the column of that very name if there is one. */
  private def slotOf(name: (Int, Int)): Int = if (name._2 >= 0 && !isPresent(name._1)) name._2 else name._1

  private def textOf(column: Array[(Int, Int)]): String = {
    var i = 0
    while (i < column.length) { val text = texts(slotOf(column(i))); if (text != null) return text; i += 1 }
    null
  }

  /** The value of entity `index` as text; null if there is none. */
  def entity(index: Int): String = {
    val text = textOf(entities(index))
    if (text == null || text.length > Transaction.LongestId || Transaction.Missing.contains(text.trim)) null else text
  }

  def currencyText: String = if (currency.isEmpty) null else textOf(currency)

  private val numbers = Map("point" -> config.at("/patterns/point"), "comma" -> config.at("/patterns/comma"))
    .map { case (decimal, pattern) => decimal -> Pattern.compile(pattern.asText) }
  private val decimal = config.at("/amount/decimal").asText

  /** The amount; NaN if it is missing or no finite number. */
  def amountValue: Double = {
    var i = 0
    while (i < amount.length) {
      val slot = slotOf(amount(i))
      val number = if (isNumber(slot)) finite(texts(slot)) else numberOf(texts(slot), decimal)
      if (!number.isNaN) return number
      i += 1
    }
    Double.NaN
  }

  private def finite(text: String): Double =
    try { val number = text.toDouble; if (number.isInfinite) Double.NaN else number }
    catch { case _: NumberFormatException => Double.NaN }

  /** `number_from_text`: a number as people and spreadsheets write it. */
  private def numberOf(text: String, decimal: String): Double = if (text == null) Double.NaN else {
    val trimmed = Transaction.trim(text)
    if (decimal == "point" && Transaction.Number.matcher(trimmed).matches()) finite(trimmed)
    else if (trimmed.length > Transaction.LongestNumber) Double.NaN
    else {
      val matcher = numbers(decimal).matcher(trimmed)
      if (!matcher.matches()) Double.NaN
      else {
        def group(number: Int): String = Option(matcher.group(number)).getOrElse("")
        val separator = if (decimal == "comma") ',' else '.'
        val digits = group(2).filter(each => (each >= '0' && each <= '9') || each == separator).replace(',', '.')
        val sign = if ((group(1) + group(5)).exists("(\u2212-".contains(_))) "-" else ""
        if (group(1).contains("(") != group(5).contains(")")) Double.NaN else finite(sign + digits + group(4))
      }
    }
  }

  private val clock = config.at("/time/clock")
  private val order = config.at("/time/order")
  private val iso = Pattern.compile(config.at("/patterns/iso").asText)
  private val parts = Pattern.compile(config.at("/patterns/parts").asText)

  /** The transaction's time in ms since 1970; `Long.MinValue` if it is missing or unreadable. */
  def timeMs: Long = {
    val text = textOf(time)
    if (text == null) Long.MinValue
    else if (clock.isNumber) {
      val ms = numberOf(text, "point") * 1000.0 / clock.asDouble
      if (math.abs(ms) <= Transaction.LastMs) math.floor(ms).toLong else Long.MinValue
    } else {
      val trimmed = Transaction.trim(text)
      val date = if (iso.matcher(trimmed).matches()) trimmed else if (order.isTextual) isoDate(trimmed) else null
      if (date == null) Long.MinValue
      else DateTimeUtils.stringToTimestamp(UTF8String.fromString(date), ZoneOffset.UTC)
        .fold(Long.MinValue)(Math.floorDiv(_, 1000L))
    }
  }

  /** `notation.canonical_date`: a date in the declared order in ISO 8601; null if it is none. */
  private def isoDate(text: String): String = {
    val matcher = parts.matcher(text)
    if (text.length > Transaction.LongestNumber || !matcher.matches()) return null
    def group(number: Int): String = Option(matcher.group(number)).getOrElse("")
    val date = Seq(1, 3, 4).map(group)
    val Seq(year, month, day) = Transaction.Orders(order.asText).map(date)
    val century = if (year.length != 2) "" else if (year >= "69") "19" else "20"
    val half = group(8).toLowerCase
    val hour =
      if (half.isEmpty || group(5).isEmpty) group(5)
      else if (group(5).toInt < 1 || group(5).toInt > 12) return null
      else (group(5).toInt % 12 + (if (half == "p") 12 else 0)).toString
    def two(text: String): String = if (text.length == 1) "0" + text else text
    val seconds = if (group(7).isEmpty) "00" else group(7)
    val clock = if (hour.isEmpty) "" else s" ${two(hour)}:${group(6)}:$seconds${group(9).replace("UTC", "Z")}"
    val written = s"$century$year-${two(month)}-${two(day)}$clock"
    if (iso.matcher(written).matches()) written else null
  }

  private val mac = Mac.getInstance("HmacSHA256")
  private val secret = config.get("secret").asText.grouped(2).map(Integer.parseInt(_, 16).toByte).toArray
  mac.init(new SecretKeySpec(if (secret.isEmpty) Array(0.toByte) else secret, "HmacSHA256"))

  /** `entity_id` of history/identity.py: the value, or an HMAC if it is a card number. */
  def entityId(value: String): String = {
    val digits = if (value.length < 12) "" else Transaction.Separators.matcher(value).replaceAll("")
    if (digits.length < 12 || digits.length > 19 || !digits.forall(each => each >= '0' && each <= '9')) return value
    val doubled = digits.reverse.zipWithIndex.map { case (digit, i) => (digit - '0') * (1 + i % 2) }
    if (doubled.map(each => each / 10 + each % 10).sum % 10 != 0) value
    else "hmac:" + mac.doFinal(digits.getBytes(UTF_8)).take(16).map(each => f"${each & 0xff}%02x").mkString
  }
}

private object Transaction {
  val LongestId = 200
  val LongestNumber = 100
  val LastMs = 253402300799000.0
  val Missing = Set("", "?", "-", "--", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "None")
  val Number: Pattern = Pattern.compile("[+-]?([0-9]++(\\.[0-9]*+)?|\\.[0-9]++)([eE][+-]?[0-9]++)?")
  val OddFloat: Pattern = Pattern.compile("(?i)([:\\[,]\\s*)[+-]?(?:nan|inf|infinity)(?=\\s*[,}\\]])")
  val Separators: Pattern = Pattern.compile(
    "[ \\t\\-\\x00\\u00a0\\u00ad\\u2000-\\u200d\\u2010-\\u2015\\u202f\\u2060\\u2212\\u3000\\ufeff\\uff0d]")
  val Orders = Map("ymd" -> Seq(0, 1, 2), "dmy" -> Seq(2, 1, 0), "mdy" -> Seq(2, 0, 1))

  /** Spaces only, as Spark's `trim`. */
  def trim(text: String): String =
    if (text.isEmpty || (text.charAt(0) != ' ' && text.charAt(text.length - 1) != ' ')) text
    else UTF8String.fromString(text).trim.toString
}
