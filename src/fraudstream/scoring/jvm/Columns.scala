package org.apache.spark.sql.fraudstream

import org.apache.spark.sql.Column
import org.apache.spark.sql.catalyst.expressions.Expression
import org.apache.spark.sql.classic.ExpressionUtils

/** Makes a column of an expression of our own, which only Spark's packages may. */
object Columns {
  def of(inputs: Seq[Column])(expression: Seq[Expression] => Expression): Column =
    ExpressionUtils.column(expression(inputs.map(ExpressionUtils.expression)))
}
