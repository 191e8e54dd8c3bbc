package fraudstream.history

import java.time.ZoneOffset.UTC
import java.util.{Arrays, HashMap => JavaMap, HexFormat}
import javax.crypto.Mac
import javax.crypto.spec.SecretKeySpec
import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.core.{JsonFactory, JsonParser, JsonProcessingException, JsonToken}
import com.fasterxml.jackson.core.json.JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS
import com.fasterxml.jackson.databind.JsonNode
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow
import org.apache.spark.sql.catalyst.util.DateTimeUtils
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.types.UTF8String

/** Reads a history's columns from a transaction's JSON text.
 *
 *  `readers` are expressions for amount and seconds, those of the model's features: they read what is neither a number
 *  of JSON nor a date in its usual form.
 */
private[history] final class Transaction(config: JsonNode, readers: Seq[InternalRow => InternalRow]) {
  private final class Node { val members = new JavaMap[String, Node](); var slot: Int = -1 }
  private val root = new Node
  private var slots = 0

  private def slotAt(path: Seq[String]): Int = {
    val node = path.foldLeft(root)((node, name) => node.members.computeIfAbsent(name, _ => new Node))
    if (node.slot < 0) { node.slot = slots; slots += 1 }
    node.slot
  }
  /** For each of a column's names its slot, and that of the path which its dots make, if any. */
  private def column(names: JsonNode): Array[(Int, Int)] = names.asScala.map(_.asText).map { name =>
    (slotAt(Seq(name)), if (name.contains('.')) slotAt(name.split("\\.", -1).toSeq) else -1)
  }.toArray

  private val entities = config.get("entities").asScala.map(each => column(each.get("columns"))).toArray
  private val times = column(config.at("/time/columns"))
  private val amounts = column(config.at("/amount/columns"))
  private val currencies = column(config.get("currency"))
  private val isPresent, isNumber = new Array[Boolean](slots)
  private val texts = new Array[String](slots)
  private val json = new JsonFactory().enable(ALLOW_NON_NUMERIC_NUMBERS.mappedFeature)

  /** Reads a transaction; false if the text is not one JSON object in UTF-8. */
  def read(text: UTF8String): Boolean = text.isValid && (try parse(text.getBaseObject match {
    case bytes: Array[Byte] =>
      json.createParser(bytes, (text.getBaseOffset - Platform.BYTE_ARRAY_OFFSET).toInt, text.numBytes)
    case _ => json.createParser(text.getBytes)
  }) catch {
    case _: JsonProcessingException =>
      try parse(json.createParser(Transaction.OddFloat.replaceAllIn(text.toString, "$1null")))
      catch { case _: JsonProcessingException => false }
  })

  private def parse(parser: JsonParser): Boolean = try {
    Arrays.fill(isPresent, false); Arrays.fill(isNumber, false); Arrays.fill(texts.asInstanceOf[Array[AnyRef]], null)
    parser.nextToken() == JsonToken.START_OBJECT && { readMembers(parser, root); parser.nextToken() == null }
  } finally parser.close()

  private def readMembers(parser: JsonParser, node: Node): Unit = {
    var name = parser.nextFieldName()
    while (name != null) {
      val (member, token) = (node.members.get(name), parser.nextToken())
      if (member != null && member.slot >= 0) {
        isPresent(member.slot) = true
        isNumber(member.slot) = token.isNumeric
        texts(member.slot) = if (token.isScalarValue && token != JsonToken.VALUE_NULL) parser.getText else null
      }
      if (token == JsonToken.START_OBJECT && member != null && !member.members.isEmpty) readMembers(parser, member)
      else if (token.isStructStart) parser.skipChildren()
      name = parser.nextFieldName()
    }
  }
  /** The slot of one of a column's names: a member of the very name goes before the path. */
  private def slotOf(name: (Int, Int)): Int = if (name._2 >= 0 && !isPresent(name._1)) name._2 else name._1

  /** The column's first slot with a text, from one of its names on; -1 if none has. */
  private def firstSlot(column: Array[(Int, Int)], from: Int = 0): Int = {
    var i = from
    while (i < column.length && texts(slotOf(column(i))) == null) i += 1
    if (i < column.length) slotOf(column(i)) else -1
  }

  private def textOf(column: Array[(Int, Int)]): String = firstSlot(column) match {
    case -1 => null
    case slot => texts(slot)
  }
  /** The currency of the amount; null if it is not stated. */
  def currency: String = {
    val text = textOf(currencies)
    if (text == null || Transaction.Missing(text.trim)) null else text
  }
  /** The value of an entity; null if there is none. */
  def entity(index: Int): String = {
    val text = textOf(entities(index))
    if (text == null || text.length > Transaction.LongestId || Transaction.Missing(text.trim)) null else text
  }

  private def numberAt(slot: Int, reader: InternalRow => InternalRow): Double = if (slot < 0) Double.NaN
    else if (isNumber(slot)) texts(slot).toDoubleOption.getOrElse(Double.NaN)
    else {
      val row = reader(new GenericInternalRow(Array[Any](UTF8String.fromString(texts(slot)))))
      if (row.isNullAt(0)) Double.NaN else row.getDouble(0)
    }
  /** The amount; NaN if it is missing, unreadable or beyond a float. */
  def amount: Float = {
    val numbers = amounts.indices.iterator.map(i => numberAt(firstSlot(amounts, i), readers(0)).toFloat)
    numbers.find(number => math.abs(number) <= Float.MaxValue).getOrElse(Float.NaN)
  }

  private val clock = config.at("/time/clock").asDouble(Double.NaN)
  /** The time in ms since 1970; `Transaction.NoTime` if it is missing or unreadable. */
  def time: Long = {
    val slot = firstSlot(times)
    val plain = if (slot < 0 || !clock.isNaN) None else Transaction.plainDate(texts(slot))
    plain.getOrElse {
      val seconds = numberAt(slot, readers(1)) / (if (slot >= 0 && isNumber(slot)) clock else 1.0)
      if (math.abs(seconds) <= Transaction.LastSecond) math.round(seconds * 1000.0) else Transaction.NoTime
    }
  }

  private val mac = Mac.getInstance("HmacSHA256")
  private val secret = config.get("secret").asText.grouped(2).map(Integer.parseInt(_, 16).toByte).toArray
  mac.init(new SecretKeySpec(secret.padTo(1, 0.toByte), "HmacSHA256"))

  /** `entity_id` of history/identity.py: the value, or its HMAC if it is a card number. */
  def entityId(value: String): String = {
    def isDigits(text: String): Boolean = text.forall(each => each >= '0' && each <= '9')
    val digits = if (value.length < 12 || isDigits(value)) value else Transaction.Separators.replaceAllIn(value, "")
    def checksum: Int = digits.indices.foldLeft(0) { (sum, i) =>
      val each = (digits.charAt(digits.length - 1 - i) - '0') * (1 + i % 2)
      sum + each / 10 + each % 10
    }
    if (digits.length < 12 || digits.length > 19 || !isDigits(digits) || checksum % 10 != 0) value
    else "hmac:" + HexFormat.of.formatHex(mac.doFinal(digits.getBytes), 0, 16)
  }
}

private object Transaction {
  val NoTime: Long = Long.MinValue
  val LastSecond = 253402300799.0
  val LongestId = 1024
  val Missing = Set("", "?", "-", "--", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "None")
  private val OddFloat = "(?i)([:\\[,]\\s*)[+-]?(?:nan|inf|infinity)(?=\\s*[,}\\]])".r
  private val Separators =
    "[ \\t\\-\\x00\\u00a0\\u00ad\\u2000-\\u200d\\u2010-\\u2015\\u202f\\u2060\\u2212\\u3000\\ufeff\\uff0d]".r

  /** The ms of `yyyy-MM-dd HH:mm:ss`, also with a T. */
  def plainDate(text: String): Option[Long] = if (text.length != 19 || text.charAt(4) != '-' || text.charAt(7) != '-' ||
    "T ".indexOf(text.charAt(10)) < 0 || text.charAt(13) != ':' || text.charAt(16) != ':' || text < "0001" ||
    text.count(each => each >= '0' && each <= '9') != 14) None
  else DateTimeUtils.stringToTimestamp(UTF8String.fromString(text), UTC).map(_ / 1000)
}
